"""WordPiece, step by step, in plain Python: text -> normalized characters -> words -> pieces.

A worked example with the vocabulary ``["[UNK]", "the", "cafe", "##s", "!"]`` and an uncased tokenizer:

1. ``normalize("The cafés!")`` gives the text ``the cafes!``. Every character remembers the index of the character of
   the original that it came from, here simply 0 to 9; a dropped accent leaves a gap, so offsets stay true.
2. ``split_words`` gives the spans of ``the``, ``cafes`` and ``!``: whitespace separates, punctuation stands alone.
3. ``split_pieces`` takes the longest vocabulary entry that starts the word, then goes on behind it with entries that
   start with ``##``: ``cafes`` -> ``cafe``, ``##s``. A word with a rest that no entry starts becomes ``[UNK]`` whole.

Source: Devlin et al., BERT (arXiv 1810.04805), section 3; the greedy search is that of its published tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from .unicode import BLANKED, CJK, MARKS, PUNCTUATION, REMOVED, WHITESPACE, combining_class, decompose, lower_case

CONTINUATION = "##"
MAX_CHARS_PER_WORD = 100

Char = tuple[str, int]  # a character of the normalized text and the index of its origin in the original text

ASCII_WORDS = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")


def is_plain(text: str) -> bool:
    """Whether ``text`` is printable ASCII: only its case can change."""
    return text.isascii() and text.isprintable()


@dataclass(frozen=True)
class Normalizer:
    """The four cleaning steps of BERT, in order; each can be switched off but the first.

    Attributes:
        lowercase: lower every character, one at a time.
        chinese_chars: put a space around every Chinese character.
        strip_accents: decompose and drop accents; None means as ``lowercase``.
    """

    lowercase: bool = True
    chinese_chars: bool = True
    strip_accents: bool | None = None

    def __call__(self, text: str) -> tuple[str, Sequence[int]]:
        """Normalize ``text``.

        Returns:
            The normalized text, and for each of its characters the index in ``text`` that it came from.
        """
        if is_plain(text):
            return text.lower() if self.lowercase else text, range(len(text))
        chars = clean_text(text)
        if self.chinese_chars:
            chars = space_chinese(chars)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            chars = [(char, origin) for char, origin in decompose_all(chars) if char not in MARKS]
        if self.lowercase:
            chars = [(lower, origin) for char, origin in chars for lower in lower_case(char)]
        return "".join(map(itemgetter(0), chars)), [origin for _, origin in chars]


def clean_text(text: str) -> list[Char]:
    """Drop control characters and turn every whitespace into a space."""
    kept = ((char, origin) for origin, char in enumerate(text) if char not in REMOVED)
    return [(" ", origin) if char in BLANKED else (char, origin) for char, origin in kept]


def space_chinese(chars: list[Char]) -> list[Char]:
    """Put a space before and after every Chinese character, so that each becomes a word."""
    return [(part, origin) for char, origin in chars for part in (f" {char} " if char in CJK else char)]


def decompose_all(chars: list[Char]) -> list[Char]:
    """Canonical decomposition (NFD), with marks in canonical order.

    Sorting marks must not move their origins, or offsets would run backwards. As in the Rust library, origins are dealt
    out again in their old order: the first character of a decomposition takes the next original character, the others
    share the one before.
    """
    origins = iter([origin for _, origin in chars])
    parts = [(part, index > 0) for char, _ in chars for index, part in enumerate(decompose(char))]
    result: list[Char] = []
    origin = 0
    for part, is_extra in _canonical_order(parts):
        origin = origin if is_extra else next(origins)
        result.append((part, origin))
    return result


def _canonical_order(parts: list[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """Sort every run of marks by combining class, keeping the order of equals."""
    run: list[tuple[int, str, bool]] = []
    for part, is_extra in parts:
        kind = combining_class(part)
        if kind:
            run.append((kind, part, is_extra))
            continue
        yield from ((char, extra) for _, char, extra in sorted(run, key=itemgetter(0)))
        run = []
        yield part, is_extra
    yield from ((char, extra) for _, char, extra in sorted(run, key=itemgetter(0)))


def split_words(text: str) -> list[tuple[int, int]]:
    """Spans of the words of ``text``: whitespace separates, every punctuation mark is a word of its own."""
    if is_plain(text):
        return [match.span() for match in ASCII_WORDS.finditer(text)]
    return _split(text, PUNCTUATION.__contains__)


def split_whitespace(text: str) -> list[tuple[int, int]]:
    """Spans of what stands between whitespace."""
    return _split(text, lambda char: False)


def _split(text: str, stands_alone: Callable[[str], bool]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    start = 0
    for index, char in enumerate(text):
        is_space, alone = char in WHITESPACE, stands_alone(char)
        if is_space or alone:
            if start < index:
                spans.append((start, index))
            if alone:
                spans.append((index, index + 1))
            start = index + 1
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def split_pieces(word: str, vocab: Mapping[str, int]) -> list[tuple[str, int, int]] | None:
    """Cut a word into vocabulary entries, longest match first.

    Returns:
        ``(entry, start, stop)`` for each piece, with its place in ``word``; None if the word is unknown: longer than
        ``MAX_CHARS_PER_WORD``, or some rest of it starts with no entry.
    """
    if len(word) > MAX_CHARS_PER_WORD:
        return None
    pieces = []
    start = 0
    while start < len(word):
        prefix = CONTINUATION if start else ""
        for stop in range(len(word), start, -1):
            entry = prefix + word[start:stop]
            if entry in vocab:
                break
        else:
            return None
        pieces.append((entry, start, stop))
        start = stop
    return pieces
