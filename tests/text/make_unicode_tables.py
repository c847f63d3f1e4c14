"""Write ``distilbert/text/unicode_tables.py`` by asking the Rust library about every code point.

Run it from the repository root after an upgrade of ``tokenizers``: ``python -m tests.text.make_unicode_tables``.
The result does not depend on the Unicode version of the Python that runs it.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

FILE = Path("src/distilbert/text/unicode_tables.py")
CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, not by table

HEADER = '''"""Character classes and mappings of the Rust ``tokenizers`` library, generated: do not edit by hand.

Written by ``tests/text/make_unicode_tables.py``, which explains the probes; read by ``unicode.py``, which explains
the notation. Made from tokenizers {version}.
"""

'''


def bert_normalizer(**options: bool) -> normalizers.BertNormalizer:
    """Return a BertNormalizer that takes only the given steps."""
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**off, **options})


def ranges(points: Iterable[int]) -> list[tuple[int, int]]:
    """Return the inclusive ranges that sorted code points form."""
    pairs: list[tuple[int, int]] = []
    for point in points:
        if pairs and pairs[-1][1] + 1 == point:
            pairs[-1] = (pairs[-1][0], point)
        else:
            pairs.append((point, point))
    return pairs


def write_ranges(points: Iterable[int]) -> str:
    """Return ``41-5A 61`` for the code points 0x41 to 0x5A and 0x61."""
    return " ".join(f"{low:X}" if low == high else f"{low:X}-{high:X}" for low, high in ranges(points))


def write_mapping(mapping: dict[int, str]) -> str:
    """Return ``@C0 41+300 41+301`` for two neighbours, the first of them 0xC0, that map to two characters each."""
    runs = []
    for low, high in ranges(sorted(mapping)):
        values = ("+".join(f"{ord(char):X}" for char in mapping[point]) for point in range(low, high + 1))
        runs.append(f"@{low:X} {' '.join(values)}")
    return " ".join(runs)


def write_shifts(mapping: dict[int, int]) -> str:
    """Return ``41-5A/1+20`` if every code point from 0x41 to 0x5A, in steps of 1, maps to itself plus 0x20."""
    runs: list[list[int]] = []  # low, high, step, shift
    for point, image in sorted(mapping.items()):
        shift = image - point
        if runs and runs[-1][3] == shift:
            low, high, step, _ = runs[-1]
            gap = point - high
            if gap <= 2 and (low == high or gap == step):
                runs[-1][1:3] = [point, gap]
                continue
        runs.append([point, point, 1, shift])
    return " ".join(f"{low:X}-{high:X}/{step}{shift:+X}" for low, high, step, shift in runs)


def added_token_neighbours() -> tuple[list[int], list[int]]:
    """Return the code points that are ``\\w`` and those that are ``\\s`` to the matcher of added tokens."""
    tokenizer = Tokenizer(models.WordPiece({"?": 0, "\x01a": 1, "\x01b": 2}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("\x01a", single_word=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("\x01b", lstrip=True, normalized=False)])
    word, space = [], []
    for start in range(0, len(CODE_POINTS), 1 << 14):
        block = CODE_POINTS[start : start + (1 << 14)]
        for point, single in zip(block, tokenizer.encode_batch([chr(p) + "\x01a" for p in block]), strict=True):
            if 1 not in single.ids:
                word.append(point)
        for point, strip in zip(block, tokenizer.encode_batch([chr(p) + "\x01b" for p in block]), strict=True):
            if strip.offsets[-1] == (0, 3):
                space.append(point)
    return word, space


def combining_classes(points: list[int]) -> dict[int, int]:
    """Return the canonical combining class of each code point, found by the marks that it changes places with."""
    nfd = normalizers.NFD()
    marks: dict[int, str] = {}  # combining class -> a mark of that class
    for point in points:  # the library may know fewer marks than this Python does
        char = chr(point)
        if len(unicodedata.normalize("NFD", char)) == 1:
            marks.setdefault(unicodedata.combining(char), char)
    known = sorted(combining_class for combining_class in marks if combining_class)
    classes = {}
    for point in points:
        char = chr(point)
        others = {cls: mark for cls, mark in marks.items() if cls and mark != char}
        moves_before = [cls for cls, mark in others.items() if nfd.normalize_str(mark + char) == char + mark]
        moves_after = [cls for cls, mark in others.items() if nfd.normalize_str(char + mark) == mark + char]
        same = [cls for cls in known if cls not in moves_before and cls not in moves_after]
        if len(same) == 1:
            classes[point] = same[0]
        elif moves_before or moves_after:
            raise SystemExit(f"U+{point:04X} has a combining class of its own: {moves_before} {moves_after}")
    return classes


def tables() -> Iterator[tuple[str, str, str]]:
    """Yield name, comment and text of every table, in the order of the file."""
    clean, cjk = bert_normalizer(clean_text=True), bert_normalizer(handle_chinese_chars=True)
    lower, strip, nfd = bert_normalizer(lowercase=True), bert_normalizer(strip_accents=True), normalizers.NFD()
    bert_splitter, whitespace_splitter = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.WhitespaceSplit()

    cleaned = {p: clean.normalize_str(chr(p)) for p in CODE_POINTS}
    removed = [p for p, text in cleaned.items() if not text]
    yield "REMOVED", "characters that clean_text drops", write_ranges(removed)
    turned = [p for p, text in cleaned.items() if text == " "]
    yield "TURNED_INTO_SPACE", "characters that clean_text turns into a space", write_ranges(turned)
    whitespace = [p for p in CODE_POINTS if len(whitespace_splitter.pre_tokenize_str(f"a{chr(p)}a")) == 2]
    comment = "characters that separate words, and that an added token with lstrip or rstrip takes along"
    yield "WHITESPACE", comment, write_ranges(whitespace)
    punctuation = [p for p in CODE_POINTS if len(bert_splitter.pre_tokenize_str(f"a{chr(p)}a")) == 3]
    yield "PUNCTUATION", "characters that are words of their own", write_ranges(punctuation)
    spaced = [p for p in CODE_POINTS if len(cjk.normalize_str(chr(p))) == 3]
    yield "CJK", "characters that get a space on both sides", write_ranges(spaced)

    decomposed = {p: nfd.normalize_str(chr(p)) for p in CODE_POINTS}
    changed = {p: text for p, text in decomposed.items() if text != chr(p) and p not in HANGUL}
    unchanged = [p for p in CODE_POINTS if p not in changed and p not in HANGUL]
    stripped = [p for p in unchanged if not strip.normalize_str(chr(p))]
    yield "NONSPACING_MARKS", "characters that strip_accents drops", write_ranges(stripped)
    word_points, space_points = added_token_neighbours()
    if space_points != whitespace:
        raise SystemExit("whitespace to the pre-tokenizer is no longer whitespace to added tokens")
    comment = "characters that must not touch an added token with single_word"
    yield "WORD_CHARACTERS", comment, write_ranges(word_points)
    yield "DECOMPOSITIONS", "canonical decompositions, without those of Hangul", write_mapping(changed)

    # A mark changes places with one of the lowest class (1) after it, or with one of the highest class (240) before it.
    moved = {p for p in unchanged if nfd.normalize_str(chr(p) + "\u0334") != chr(p) + "\u0334"}
    moved |= {p for p in unchanged if nfd.normalize_str("\u0345" + chr(p)) != "\u0345" + chr(p)}
    classes = combining_classes(sorted(moved))
    texts = []
    for combining_class in sorted(set(classes.values())):
        points = sorted(p for p in classes if classes[p] == combining_class)
        texts.append(f"={combining_class} {write_ranges(points)}")
    yield "COMBINING_CLASSES", "each combining class, followed by its code points", " ".join(texts)

    lowered = {p: lower.normalize_str(chr(p)) for p in CODE_POINTS}
    shifts = {p: ord(text) for p, text in lowered.items() if text != chr(p) and len(text) == 1}
    yield "LOWER_SHIFTS", "lower cases that are one character", write_shifts(shifts)
    expansions = {p: text for p, text in lowered.items() if len(text) > 1}
    yield "LOWER_EXPANSIONS", "lower cases that are longer than one character", write_mapping(expansions)


def main() -> None:
    sections = [HEADER.format(version=tokenizers.__version__)]
    for name, comment, text in tables():
        lines = "\n".join(textwrap.wrap(text, 118, break_on_hyphens=False))
        sections.append(f'# {comment}\n{name} = """\\\n{lines}\n"""\n')
    FILE.write_text("\n".join(sections).replace("\n\n\n", "\n\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
