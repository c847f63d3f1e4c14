"""What a character is to BERT: removed, whitespace, punctuation, accent, Chinese, and its lower case.

The classes are those of the Rust ``tokenizers`` library, whose tables mix several Unicode versions and never those of
the running Python, so ``unicodedata`` would give other ids for rare characters. The generated tables are written as

* sets: ``41-5A 61`` are the code points U+0041 to U+005A and U+0061;
* mappings: ``@C0 41+300 41+301`` maps U+00C0 to U+0041 U+0300 and U+00C1 to U+0041 U+0301;
* shifts: ``100-12E/2+1`` maps every second code point from U+0100 to U+012E to the one after it;
* classes: ``=7 93C 9BC`` gives class 7 to two code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache

from . import unicode_classes, unicode_mappings


class CharacterSet:
    """A set of characters kept as the sorted borders of its ranges; ``char in set`` takes a binary search."""

    def __init__(self, table: str) -> None:
        self._borders: list[int] = []  # start of a range, one past its end, start of the next, ...
        for entry in table.split():
            low, _, high = entry.partition("-")
            self._borders += [int(low, 16), int(high or low, 16) + 1]

    def __contains__(self, char: str) -> bool:
        return bisect_right(self._borders, ord(char)) % 2 == 1


REMOVED = CharacterSet(unicode_classes.REMOVED)
BLANKED = CharacterSet(unicode_classes.BLANKED)
WHITESPACE = CharacterSet(unicode_classes.WHITESPACE)
PUNCTUATION = CharacterSet(unicode_classes.PUNCTUATION)
CJK = CharacterSet(unicode_classes.CJK)
MARKS = CharacterSet(unicode_classes.MARKS)
WORD = CharacterSet(unicode_classes.WORD)


def _read_mapping(table: str) -> dict[str, str]:
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
    return _read_mapping(unicode_mappings.DECOMPOSED)


@cache
def _combining_classes() -> dict[str, int]:
    classes: dict[str, int] = {}
    kind = 0
    for entry in unicode_mappings.COMBINING.split():
        if entry.startswith("="):
            kind = int(entry[1:])
            continue
        low, _, high = entry.partition("-")
        classes.update(dict.fromkeys(map(chr, range(int(low, 16), int(high or low, 16) + 1)), kind))
    return classes


@cache
def _lower_case() -> dict[str, str]:
    lower = _read_mapping(unicode_mappings.LOWER_LONG)
    for low, high, step, shift in re.findall(r"(\w+)-(\w+)/(\d)([+-]\w+)", unicode_mappings.LOWER_SHIFTS):
        for point in range(int(low, 16), int(high, 16) + 1, int(step)):
            lower[chr(point)] = chr(point + int(shift, 16))
    return lower


def lower_case(char: str) -> str:
    """Lower case of one character: one character, or two for ``İ``. The final sigma is no exception."""
    return _lower_case().get(char, char)


def combining_class(char: str) -> int:
    """Canonical combining class: 0 for a character that starts a cluster, 1 to 240 for a mark that may be reordered."""
    return _combining_classes().get(char, 0)


def decompose(char: str) -> str:
    """Canonical decomposition of one character; the character itself where it has none.

    Hangul syllables are composed by arithmetic (The Unicode Standard, section 3.12): a syllable's index is
    ``(lead * 21 + vowel) * 28 + trail``, and trail 0 means that there is none.
    """
    index = ord(char) - 0xAC00
    if not 0 <= index < 19 * 21 * 28:
        return _decompositions().get(char, char)
    lead, vowel, trail = index // (21 * 28), index // 28 % 21, index % 28
    parts = [0x1100 + lead, 0x1161 + vowel] + ([0x11A7 + trail] if trail else [])
    return "".join(map(chr, parts))
