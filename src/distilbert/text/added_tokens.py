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
            raise TokenizerError(f"The added token {self.content!r:.80} holds half of a character.") from None
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
                f"An added token must be a str or an AddedToken, but got {token!r:.80} of type {type(token).__name__}."
            )
        if not isinstance(values.get("content"), str):
            raise TokenizerError(f"An added token needs a 'content' that is a text, but got {token!s:.80}.")
        flags: dict[str, Any] = {name: values[name] for name in _FLAGS if values.get(name) is not None}
        flags["special"] = bool(flags.get("special")) or special
        return cls(values["content"], **flags)

    def to_dict(self) -> dict[str, Any]:
        """Return the token in the form in which files store it."""
        return {"content": self.content, **{name: getattr(self, name) for name in _FLAGS}}


def as_tokens(value: Any, name: str) -> list[Any]:
    """Return the value of an option that takes several tokens as a list; of a dict, which names them, the values.

    Args:
        value: a collection of tokens.
        name: of the option, for messages.

    Raises:
        TokenizerError: it is a single text, whose characters would be taken for tokens, or no collection at all.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        advice = f": write [{value!r:.60}]" if isinstance(value, str) else ""
        raise TokenizerError(f"{name} must be a list, but is {value!r:.60}{advice}.")
    return list(value.values() if isinstance(value, Mapping) else value)


# Up to this many characters of tokens, a regular expression of all tokens is faster than the tree.
_MAX_PATTERN = 500
# The time of the tree can grow with the square of the length of a text.
_MAX_SEARCHED = 500


class TokenSearch:
    """Finds any of a set of texts in a text: from left to right, and where several match, the longest.

    A few short texts become one regular expression. Many become a tree of their common beginnings, because the time of
    a regular expression grows with their number. An edge of the tree is a tuple: its text, whether one of the set ends
    after it, and the edges that follow, by their first character.

    Attributes:
        pattern: the regular expression, or None if there is a tree.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # "|" takes the first alternative that fits, so the longest must stand first. The tree is flat in that order.
        longest_first = sorted(set(texts), key=len, reverse=True)
        self.pattern: re.Pattern[str] | None = None
        self._root: _Edges = {}
        if sum(map(len, longest_first)) > _MAX_PATTERN:
            for text in longest_first:
                _insert(self._root, text)
        elif longest_first:
            self.pattern = re.compile("|".join(map(re.escape, longest_first)))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield start and stop of every match; matches do not overlap."""
        if self.pattern is not None:
            yield from (match.span() for match in self.pattern.finditer(text))
            return
        root, length, start = self._root, len(text), 0
        while root and start < length:
            edge = root.get(text[start])
            stop, position = -1, start
            while edge is not None and text.startswith(edge[0], position):
                position += len(edge[0])
                if edge[1]:
                    stop = position
                edge = edge[2].get(text[position]) if position < length else None
            if stop < 0:
                start += 1
            else:
                yield start, stop
                start = stop

    def may_be_in(self, text: str) -> bool:
        """Whether one of the texts stands in ``text``; True also if the search would take long."""
        is_long = self.pattern is None and len(text) > _MAX_SEARCHED and bool(self._root)
        return is_long or next(self.spans(text), None) is not None


_Edges = dict[str, tuple[str, bool, "_Edges"]]


def _insert(edges: _Edges, text: str) -> None:
    """Add a text to the tree, which holds only texts that are at least as long."""
    while True:
        edge = edges.get(text[0])
        if edge is None:
            edges[text[0]] = (text, True, {})
            return
        label, is_end, following = edge
        common = _common_length(label, text)
        if common < len(label):
            following = {label[common]: (label[common:], is_end, following)}
            is_end = common == len(text)
            edges[text[0]] = (label[:common], is_end, following)
        elif common == len(text):
            edges[text[0]] = (label, True, following)
        if common == len(text):
            return
        edges, text = following, text[common:]


def _common_length(first: str, second: str) -> int:
    """Return the length of the common beginning of two texts, by halving."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class AddedTokenMatcher:
    """Finds added tokens in a text, from left to right; where several match, the longest wins.

    Args:
        tokens: pairs of the text to look for and its token.
    """

    def __init__(self, tokens: Iterable[tuple[str, AddedToken]]) -> None:
        self._tokens: dict[str, AddedToken] = {}
        for text, token in tokens:
            self._tokens.setdefault(text, token)
        self._search = TokenSearch(self._tokens)

    def split(self, text: str, split_special: bool = False) -> Iterator[tuple[int, int, AddedToken | None]]:
        """Cut ``text`` into ``(start, stop, token)``; the token is None for the text between two matches.

        Args:
            text: the raw or the normalized text.
            split_special: do not match special tokens.
        """
        last_stop = 0
        for start, stop in self._search.spans(text):
            token = self._tokens[text[start:stop]]
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
