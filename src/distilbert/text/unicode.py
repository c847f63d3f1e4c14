"""What a character is to BERT: removed, whitespace, punctuation, accent, Chinese; and its lower case.

The character classes are those of the Rust library ``tokenizers``. Its tables mix several Unicode versions, none of
which is that of the running Python, so ``unicodedata`` would give other ids for rare characters. ``unicode_tables.py``
holds the tables in a short notation, with all numbers but the combining classes in hexadecimal:

* sets: ``41-5A 61`` are the code points U+0041 to U+005A and U+0061;
* mappings: ``@C0 41+300 41+301`` maps U+00C0 to U+0041 U+0300, and the next code point U+00C1 to U+0041 U+0301;
* shifts: ``100-12E/2+1`` maps every second code point from U+0100 to U+012E to the code point after it;
* combining classes: ``=7 93C 9BC`` gives class 7 to two code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache

from . import unicode_tables


class CharacterSet:
    """A set of characters, stored as the sorted borders of its ranges; ``char in set`` is a binary search."""

    def __init__(self, table: str) -> None:
        self._borders: list[int] = []  # start of a range, one past its end, start of the next, ...
        for entry in table.split():
            low, _, high = entry.partition("-")
            self._borders += [int(low, 16), int(high or low, 16) + 1]

    def __contains__(self, char: str) -> bool:
        return bisect_right(self._borders, ord(char)) % 2 == 1


REMOVED = CharacterSet(unicode_tables.REMOVED)
TURNED_INTO_SPACE = CharacterSet(unicode_tables.TURNED_INTO_SPACE)
WHITESPACE = CharacterSet(unicode_tables.WHITESPACE)
PUNCTUATION = CharacterSet(unicode_tables.PUNCTUATION)
CJK = CharacterSet(unicode_tables.CJK)
NONSPACING_MARKS = CharacterSet(unicode_tables.NONSPACING_MARKS)
WORD_CHARACTERS = CharacterSet(unicode_tables.WORD_CHARACTERS)


def _parse_mapping(table: str) -> dict[str, str]:
    mapping: dict[str, str] = {}
    point = 0
    for entry in table.split():
        if entry.startswith("@"):
            point = int(entry[1:], 16)
            continue
        mapping[chr(point)] = "".join(chr(int(value, 16)) for value in entry.split("+"))
        point += 1
    return mapping


@cache
def _decompositions() -> dict[str, str]:
    return _parse_mapping(unicode_tables.DECOMPOSITIONS)


@cache
def _combining_classes() -> dict[str, int]:
    classes: dict[str, int] = {}
    combining_class = 0
    for entry in unicode_tables.COMBINING_CLASSES.split():
        if entry.startswith("="):
            combining_class = int(entry[1:])
            continue
        low, _, high = entry.partition("-")
        classes.update(dict.fromkeys(map(chr, range(int(low, 16), int(high or low, 16) + 1)), combining_class))
    return classes


@cache
def _lower_cases() -> dict[str, str]:
    lower = _parse_mapping(unicode_tables.LOWER_EXPANSIONS)
    for low, high, step, shift in re.findall(r"(\w+)-(\w+)/(\d)([+-]\w+)", unicode_tables.LOWER_SHIFTS):
        for point in range(int(low, 16), int(high, 16) + 1, int(step)):
            lower[chr(point)] = chr(point + int(shift, 16))
    return lower


def lower_case(char: str) -> str:
    """Return the lower case of one character: one character, or two for ``İ``.

    A sigma becomes ``σ`` everywhere, also at the end of a word.
    """
    return _lower_cases().get(char, char)


def combining_class(char: str) -> int:
    """Return the canonical combining class: 1 to 240 for a mark that may change places with others, 0 for the rest."""
    return _combining_classes().get(char, 0)


def decompose(char: str) -> str:
    """Return the canonical decomposition of one character, which is the character itself where it has none.

    Hangul syllables are decomposed by arithmetic (The Unicode Standard, section 3.12): the index of a syllable is
    ``(lead * 21 + vowel) * 28 + trail``, and trail 0 means that there is no trailing consonant.
    """
    index = ord(char) - 0xAC00
    if not 0 <= index < 19 * 21 * 28:
        return _decompositions().get(char, char)
    lead, vowel, trail = index // (21 * 28), index // 28 % 21, index % 28
    letters = [0x1100 + lead, 0x1161 + vowel] + ([0x11A7 + trail] if trail else [])
    return "".join(map(chr, letters))
