"""The generated Unicode tables against the Rust library, over every code point."""

from __future__ import annotations

import itertools

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.normalizers import BertNormalizer

from distilbert.text import unicode
from distilbert.text.wordpiece import Normalizer, split_whitespace, split_words

from .helpers import SMALL, twins

EVERY = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
BLOCK = 4096
BLOCKS = ["x".join(EVERY[start : start + BLOCK]) for start in range(0, len(EVERY), BLOCK)]
NORMALIZERS = list(itertools.product([True, False], [True, False], [True, False, None]))


@pytest.mark.parametrize(("lower", "chinese", "accents"), NORMALIZERS)
def test_every_code_point_is_normalized_alike(lower: bool, chinese: bool, accents: bool | None) -> None:
    ours = Normalizer(lower, chinese, accents)
    rust = BertNormalizer(clean_text=True, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower)
    blocks = BLOCKS if (lower, chinese, accents) in [(True, True, None), (False, False, True)] else BLOCKS[:50]
    for block in blocks:
        assert ours(block)[0] == rust.normalize_str(block)


def test_every_code_point_splits_words_alike() -> None:
    basic, white = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.WhitespaceSplit()
    for block in BLOCKS:
        assert split_words(block) == [span for _, span in basic.pre_tokenize_str(block)]
        assert split_whitespace(block) == [span for _, span in white.pre_tokenize_str(block)]


def test_every_code_point_beside_an_added_token() -> None:
    _, fast = twins(vocab=[*SMALL, "%%"], never_split=["%%"])
    backend: Tokenizer = fast.backend_tokenizer
    wanted = fast.convert_tokens_to_ids("%%")
    for start in range(0, len(EVERY), 1 << 16):
        block = EVERY[start : start + (1 << 16)]
        found = backend.encode_batch_fast([f"{char}%%" for char in block], add_special_tokens=False)
        assert [wanted not in encoding.ids for encoding in found] == [char in unicode.WORD for char in block]


def test_every_decomposition_and_every_order_of_marks() -> None:
    nfd = normalizers.NFD()
    for char in EVERY[:0x30000]:
        assert unicode.decompose(char) == nfd.normalize_str(char)
    marks = [char for char in EVERY if unicode.combining_class(char)]
    by_class = {unicode.combining_class(char): char for char in marks}
    for one, two in itertools.product(marks, by_class.values()):
        in_order = unicode.combining_class(one) <= unicode.combining_class(two)
        first, second = unicode.decompose(one), unicode.decompose(two)
        assert nfd.normalize_str(one + two) == (first + second if in_order else second + first)


def test_the_final_sigma_is_no_exception() -> None:
    assert Normalizer()("ΟΔΟΣ") == ("οδοσ", [0, 1, 2, 3])


def test_origins_of_dropped_and_split_characters() -> None:
    assert Normalizer()("a\0é\u00adb") == ("aeb", [0, 2, 4])
    assert Normalizer()("中b") == (" 中 b", [0, 0, 0, 1])
    assert Normalizer(strip_accents=False)("İx") == ("i\u0307x", [0, 0, 1])
