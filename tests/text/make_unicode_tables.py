"""Write the Unicode tables of ``distilbert.text`` by asking the Rust library about every code point.

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

FOLDER = Path("src/distilbert/text")
FILES = {
    "unicode_classes.py": ["REMOVED", "BLANKED", "WHITESPACE", "PUNCTUATION", "CJK", "MARKS", "WORD"],
    "unicode_mappings.py": ["DECOMPOSED", "COMBINING", "LOWER_SHIFTS", "LOWER_LONG"],
}
CODE_POINTS = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic, not by table

HEADER = '''"""Character classes and mappings of the Rust ``tokenizers`` library, generated: do not edit by hand.

Written by ``tests/text/make_unicode_tables.py``, which explains the probes; read by ``unicode.py``, which explains
the notation. Made from tokenizers {version}.
"""

'''


def bert(**options: bool) -> normalizers.BertNormalizer:
    """A BertNormalizer with every step off but the given ones."""
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**off, **options})


def ranges(points: Iterable[int]) -> list[tuple[int, int]]:
    """Inclusive ranges that cover ``points``, which are sorted."""
    found: list[tuple[int, int]] = []
    for point in points:
        if found and found[-1][1] + 1 == point:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def write_ranges(points: Iterable[int]) -> str:
    """``41-5A 61`` for the code points 0x41 to 0x5A and 0x61."""
    return " ".join(f"{low:X}" if low == high else f"{low:X}-{high:X}" for low, high in ranges(points))


def write_mapping(mapping: dict[int, str]) -> str:
    """``@C0 41+300 41+301`` for a run of neighbours that starts at 0xC0 and maps to two characters each."""
    runs = []
    for low, high in ranges(sorted(mapping)):
        values = ("+".join(f"{ord(char):X}" for char in mapping[point]) for point in range(low, high + 1))
        runs.append(f"@{low:X} {' '.join(values)}")
    return " ".join(runs)


def write_shifts(mapping: dict[int, int]) -> str:
    """``41-5A/1+20``: every code point from 0x41 to 0x5A in steps of 1 maps to itself plus 0x20."""
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


def word_characters() -> tuple[list[int], list[int]]:
    """Code points that are ``\\w`` and ``\\s`` to the matcher of added tokens."""
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
    """Canonical combining class of each of ``points``, found by which known marks it changes place with."""
    nfd = normalizers.NFD()
    marks = {}
    for point in points:  # the library may know fewer marks than this Python does
        char = chr(point)
        if len(unicodedata.normalize("NFD", char)) == 1:
            marks.setdefault(unicodedata.combining(char), char)
    known = sorted(kind for kind in marks if kind)
    found = {}
    for point in points:
        char = chr(point)
        others = {kind: mark for kind, mark in marks.items() if kind and mark != char}
        moves_before = [kind for kind, mark in others.items() if nfd.normalize_str(mark + char) == char + mark]
        moves_after = [kind for kind, mark in others.items() if nfd.normalize_str(char + mark) == mark + char]
        same = [kind for kind in known if kind not in moves_before and kind not in moves_after]
        if len(same) == 1:
            found[point] = same[0]
        elif moves_before or moves_after:
            raise SystemExit(f"U+{point:04X} has a combining class of its own: {moves_before} {moves_after}")
    return found


def tables() -> Iterator[tuple[str, str, str]]:
    """Name, comment and text of every table."""
    clean, cjk = bert(clean_text=True), bert(handle_chinese_chars=True)
    lower, strip, nfd = bert(lowercase=True), bert(strip_accents=True), normalizers.NFD()
    bert_words, white_words = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.WhitespaceSplit()

    cleaned = {point: clean.normalize_str(chr(point)) for point in CODE_POINTS}
    yield "REMOVED", "dropped by clean_text", write_ranges(p for p, text in cleaned.items() if not text)
    yield "BLANKED", "turned into a space by clean_text", write_ranges(p for p, text in cleaned.items() if text == " ")
    whites = {point: len(white_words.pre_tokenize_str(f"a{chr(point)}a")) for point in CODE_POINTS}
    yield (
        "WHITESPACE",
        "separates words; taken along by an added token with lstrip or rstrip",
        write_ranges(p for p, pieces in whites.items() if pieces == 2),
    )
    split = {point: len(bert_words.pre_tokenize_str(f"a{chr(point)}a")) for point in CODE_POINTS}
    yield "PUNCTUATION", "a word of its own", write_ranges(p for p, pieces in split.items() if pieces == 3)
    spaced = {point: len(cjk.normalize_str(chr(point))) for point in CODE_POINTS}
    yield "CJK", "gets a space on both sides", write_ranges(p for p, length in spaced.items() if length == 3)

    decomposed = {point: nfd.normalize_str(chr(point)) for point in CODE_POINTS}
    changed = {p: text for p, text in decomposed.items() if text != chr(p) and p not in HANGUL}
    whole = [p for p in CODE_POINTS if p not in changed and p not in HANGUL]
    yield "MARKS", "dropped by strip_accents", write_ranges(p for p in whole if not strip.normalize_str(chr(p)))
    yield "DECOMPOSED", "canonical decomposition, without Hangul", write_mapping(changed)
    likely = [p for p in whole if nfd.normalize_str(chr(p) + "\u0334") != chr(p) + "\u0334"]  # moves the lowest class
    likely += [
        p for p in whole if nfd.normalize_str("\u0345" + chr(p)) != "\u0345" + chr(p)
    ]  # moves before the highest
    classes = combining_classes(sorted(set(likely)))
    by_class = {kind: write_ranges(sorted(p for p in classes if classes[p] == kind)) for kind in set(classes.values())}
    yield (
        "COMBINING",
        "=combining class, then its code points",
        " ".join(f"={k} {by_class[k]}" for k in sorted(by_class)),
    )

    lowered = {point: lower.normalize_str(chr(point)) for point in CODE_POINTS}
    single = {p: ord(text) for p, text in lowered.items() if text != chr(p) and len(text) == 1}
    yield "LOWER_SHIFTS", "lower case that is one character", write_shifts(single)
    yield "LOWER_LONG", "lower case that is longer", write_mapping({p: t for p, t in lowered.items() if len(t) > 1})

    word, space = word_characters()
    yield "WORD", "part of a word to an added token with single_word", write_ranges(word)
    if space != [p for p, pieces in whites.items() if pieces == 2]:
        raise SystemExit("whitespace to the pre-tokenizer is no longer whitespace to added tokens")


def main() -> None:
    made = {name: (comment, text) for name, comment, text in tables()}
    for file, names in FILES.items():
        parts = [HEADER.format(version=tokenizers.__version__)]
        for name in names:
            comment, text = made[name]
            lines = "\n".join(textwrap.wrap(text, 118, break_on_hyphens=False))
            parts.append(f'# {comment}\n{name} = """\\\n{lines}\n"""\n')
        (FOLDER / file).write_text("\n".join(parts).replace("\n\n\n", "\n\n"), encoding="utf-8")


if __name__ == "__main__":
    main()
