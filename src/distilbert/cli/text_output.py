"""Text for terminals: sizes, and text from files without its control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_LINE = 300  # characters


def clean(text: str, longest: int = LONGEST_LINE) -> str:
    """Return text on one line, without characters that would steer the terminal, and cut if it is long."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in text)


def size_text(size: float) -> str:
    """Return bytes as people read them: ``"268.0 MB"``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def plain_console() -> Console:
    """Return a console for standard output that reads no markup in what it prints."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)
