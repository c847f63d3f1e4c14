"""Tokens that are matched before WordPiece: ``[MASK]`` and its like, words a user added, words that are never split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import TokenizerError
from .unicode import WHITESPACE, WORD_CHARACTERS

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class AddedToken:
    """A token that is matched as a whole.

    Attributes:
        content: the text of the token.
        single_word: match only where no letter, digit or underscore touches the token.
        lstrip: the match includes the whitespace to the left.
        rstrip: the match includes the whitespace to the right.
        normalized: match in the normalized text; False matches in the raw text, None means not ``special``.
        special: ``decode(..., skip_special_tokens=True)`` leaves the token out.

    Raises:
        TokenizerError: ``content`` is empty.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if not self.content:
            raise TokenizerError("An added token must not be empty.")
        try:
            self.content.encode()
        except UnicodeEncodeError:
            raise TokenizerError(f"The added token {self.content!r} holds half of a character.") from None
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    @classmethod
    def of(cls, token: Any, *, special: bool = False) -> AddedToken:
        """Make an AddedToken from a text, from a dict that a file holds, or from an object with the same attributes.

        Args:
            token: ``"<x>"``, ``{"content": "<x>", "lstrip": True}``, or the AddedToken of any library.
            special: make the token special; a token that is special already stays so.

        Raises:
            TokenizerError: ``token`` is none of these.
        """
        if isinstance(token, str):
            return cls(token, special=special)
        if isinstance(token, Mapping):
            values = dict(token)
        elif hasattr(token, "content"):
            values = {name: getattr(token, name) for name in ("content", *_FLAGS) if hasattr(token, name)}
        else:
            raise TokenizerError(
                f"An added token must be a str or an AddedToken, but got {token!r} of type {type(token).__name__}."
            )
        if not isinstance(values.get("content"), str):
            raise TokenizerError(f"An added token needs a 'content' that is a text, but got {token!r}.")
        flags: dict[str, Any] = {name: values[name] for name in _FLAGS if values.get(name) is not None}
        flags["special"] = bool(flags.get("special")) or special
        return cls(values["content"], **flags)

    def to_dict(self) -> dict[str, Any]:
        """Return the token in the form in which files store it."""
        return {"content": self.content, **{name: getattr(self, name) for name in _FLAGS}}


class AddedTokenMatcher:
    """Finds added tokens in a text, from left to right; where several match, the longest wins.

    Args:
        tokens: pairs of the text to look for and its token.
    """

    def __init__(self, tokens: Iterable[tuple[str, AddedToken]]) -> None:
        self._tokens: dict[str, AddedToken] = {}
        for text, token in tokens:
            self._tokens.setdefault(text, token)
        # "|" takes the first alternative that fits, so the longest must stand first.
        longest_first = sorted(self._tokens, key=len, reverse=True)
        self._finditer = re.compile("|".join(map(re.escape, longest_first))).finditer if longest_first else None

    def split(self, text: str, split_special: bool = False) -> Iterator[tuple[int, int, AddedToken | None]]:
        """Cut ``text`` into ``(start, stop, token)``; the token is None for the text between two matches.

        Args:
            text: the raw or the normalized text.
            split_special: do not match special tokens.
        """
        last_stop = 0
        for match in self._finditer(text) if self._finditer else ():
            start, stop = match.span()
            token = self._tokens[match.group()]
            if split_special and token.special:
                continue
            if token.single_word and (
                (start > 0 and text[start - 1] in WORD_CHARACTERS)
                or (stop < len(text) and text[stop] in WORD_CHARACTERS)
            ):
                continue
            if token.lstrip:
                while start > last_stop and text[start - 1] in WHITESPACE:
                    start -= 1
            if token.rstrip:
                while stop < len(text) and text[stop] in WHITESPACE:
                    stop += 1
            if last_stop < start:
                yield last_stop, start, None
            yield start, stop, token
            last_stop = stop
        if last_stop < len(text):
            yield last_stop, len(text), None
