"""Text that a terminal shows as it is: names of files, labels and messages must not steer it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text with every control character as an escape, such as ``\\x1b``; line breaks and tabs stay."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else repr(character)[1:-1] for character in text
    )
