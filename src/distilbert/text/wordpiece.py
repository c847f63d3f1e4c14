"""WordPiece in plain Python, step by step: text -> normalized characters -> words -> tokens, and tokens -> text.

A worked example with the vocabulary ``["[UNK]", "the", "cafe", "##s", "!"]`` and an uncased tokenizer:

1. ``Normalizer()("The cafés!")`` gives the text ``the cafes!``, and for each character the index of the character in
   the original text that it came from. Here that is simply 0 to 9. A removed character leaves a gap in these indexes,
   so the offsets of the tokens stay correct.
2. ``split_words`` gives the spans of ``the``, ``cafes`` and ``!``. Whitespace separates words; a punctuation mark is a
   word of its own.
3. ``split_tokens`` takes the longest vocabulary entry that the word starts with, then continues after it with entries
   that start with ``##``: ``cafes`` -> ``cafe``, ``##s``. If no entry fits somewhere, the whole word becomes ``[UNK]``.
4. ``join_tokens`` goes back: ``the``, ``cafe``, ``##s``, ``!`` -> ``the cafes!``.

Source: Devlin et al., BERT (arXiv 1810.04805), section 3; the greedy search is that of its published tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from .unicode import (
    CJK,
    NONSPACING_MARKS,
    PUNCTUATION,
    REMOVED,
    TURNED_INTO_SPACE,
    WHITESPACE,
    combining_class,
    decompose,
    lower_case,
)

CONTINUATION = "##"
MAX_CHARS_PER_WORD = 100

Char = tuple[str, int]  # a character of the normalized text, and the index in the original text that it came from

ASCII_WORD = re.compile(r"[0-9A-Za-z]+|[!-/:-@\[-`{-~]")
_SURROGATE = re.compile("[\ud800-\udfff]")

# The Rust decoder applies these replacements to every token. The clean-up applies all but one to the whole text.
_TOKEN_REPLACEMENTS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
_TEXT_REPLACEMENTS = tuple(pair for pair in _TOKEN_REPLACEMENTS if pair[0] != " do not")


def is_printable_ascii(text: str) -> bool:
    """Whether ``text`` is printable ASCII, so that normalizing can only change its case."""
    return text.isascii() and text.isprintable()


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which broken JSON may hold, by U+FFFD, which ``clean_text`` drops."""
    return _SURROGATE.sub("\ufffd", text)


@dataclass(frozen=True)
class Normalizer:
    """The four cleaning steps of BERT, in their order; each but the first can be switched off.

    Attributes:
        lowercase: lower every character, one at a time.
        chinese_chars: put a space around every Chinese character.
        strip_accents: decompose characters and drop accents; None means the same as ``lowercase``.
    """

    lowercase: bool = True
    chinese_chars: bool = True
    strip_accents: bool | None = None

    def __call__(self, text: str) -> tuple[str, Sequence[int]]:
        """Normalize ``text``.

        Returns:
            The normalized text, and for each of its characters the index in ``text`` that it came from.
        """
        if is_printable_ascii(text):
            return text.lower() if self.lowercase else text, range(len(text))
        chars = clean_text(text)
        if self.chinese_chars:
            chars = space_chinese(chars)
        if self.lowercase if self.strip_accents is None else self.strip_accents:
            chars = [(char, origin) for char, origin in decompose_all(chars) if char not in NONSPACING_MARKS]
        if self.lowercase:
            chars = [(lower, origin) for char, origin in chars for lower in lower_case(char)]
        return "".join(map(itemgetter(0), chars)), [origin for _, origin in chars]


def clean_text(text: str) -> list[Char]:
    """Drop control characters and turn every whitespace character into a space."""
    kept = ((char, origin) for origin, char in enumerate(text) if char not in REMOVED)
    return [(" ", origin) if char in TURNED_INTO_SPACE else (char, origin) for char, origin in kept]


def space_chinese(chars: list[Char]) -> list[Char]:
    """Put a space before and after every Chinese character, so that each becomes a word."""
    return [(output, origin) for char, origin in chars for output in (f" {char} " if char in CJK else char)]


def decompose_all(chars: list[Char]) -> list[Char]:
    """Decompose every character canonically (NFD) and put the marks into canonical order.

    The origins do not move when marks are sorted, or offsets would run backwards. As in the Rust library, they are
    assigned again in their old order: the first character of each decomposition takes the next origin, and the others
    share the origin of the character before them.
    """
    origins = iter([origin for _, origin in chars])
    decomposed = [(output, index > 0) for char, _ in chars for index, output in enumerate(decompose(char))]
    result: list[Char] = []
    origin = 0
    for char, shares_origin in _canonical_order(decomposed):
        origin = origin if shares_origin else next(origins)
        result.append((char, origin))
    return result


def _canonical_order(chars: list[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """Sort every run of marks by combining class; marks of the same class keep their order."""
    marks: list[tuple[int, str, bool]] = []
    for char, shares_origin in chars:
        if mark_class := combining_class(char):
            marks.append((mark_class, char, shares_origin))
            continue
        yield from (mark[1:] for mark in sorted(marks, key=itemgetter(0)))
        marks = []
        yield char, shares_origin
    yield from (mark[1:] for mark in sorted(marks, key=itemgetter(0)))


def split_words(text: str) -> list[tuple[int, int]]:
    """Return the spans of the words in ``text``. Whitespace separates them; a punctuation mark is a word of its own."""
    if is_printable_ascii(text):
        return [match.span() for match in ASCII_WORD.finditer(text)]
    return _split(text, PUNCTUATION.__contains__)


def split_whitespace(text: str) -> list[tuple[int, int]]:
    """Return the spans of ``text`` between whitespace."""
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


def split_tokens(
    word: str, vocab: Mapping[str, int], max_chars: int = MAX_CHARS_PER_WORD
) -> list[tuple[str, int, int]] | None:
    """Cut a word into vocabulary entries, the longest match first.

    Returns:
        ``(entry, start, stop)`` for each token, with its place in ``word``. None if the word is unknown: it is longer
        than ``max_chars``, or at some place no entry fits.
    """
    if len(word) > max_chars:
        return None
    tokens = []
    start = 0
    while start < len(word):
        prefix = CONTINUATION if start else ""
        for stop in range(len(word), start, -1):
            entry = prefix + word[start:stop]
            if entry in vocab:
                break
        else:
            return None
        tokens.append((entry, start, stop))
        start = stop
    return tokens


def join_tokens(tokens: Iterable[str], clean_up: bool = True) -> str:
    """Join tokens to a text: a space goes before each token, except before ``##`` and before ``. ? ! ,``.

    Args:
        tokens: vocabulary entries.
        clean_up: False keeps the space before ``. ? ! ,``.
    """
    texts = []
    for index, token in enumerate(tokens):
        if index:
            token = token.removeprefix(CONTINUATION) if token.startswith(CONTINUATION) else f" {token}"
        for old, new in _TOKEN_REPLACEMENTS if clean_up else ():
            token = token.replace(old, new)
        texts.append(token)
    return "".join(texts)


def clean_up_spaces(text: str) -> str:
    """Remove the spaces before ``n't``, ``'s`` and the like, where these consist of several tokens."""
    for old, new in _TEXT_REPLACEMENTS:
        text = text.replace(old, new)
    return text
