"""The generated Unicode tables against the Rust library, over every code point."""

from __future__ import annotations

import itertools

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.normalizers import BertNormalizer

from distilbert.text import unicode
from distilbert.text.wordpiece import Normalizer, split_whitespace, split_words

from .helpers import SMALL_VOCAB, both_tokenizers

CHARACTERS = [chr(point) for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
BLOCK_SIZE = 4096
# An "x" behind each mark keeps it from changing places with the next one.
SEPARATED = [f"{char}x" if unicode.combining_class(char) else char for char in CHARACTERS]
BLOCKS = ["".join(SEPARATED[start : start + BLOCK_SIZE]) for start in range(0, len(CHARACTERS), BLOCK_SIZE)]
NORMALIZERS = list(itertools.product([True, False], [True, False], [True, False, None]))


@pytest.mark.parametrize(("lower", "chinese", "accents"), NORMALIZERS)
def test_normalizing_every_code_point(lower: bool, chinese: bool, accents: bool | None) -> None:
    normalizer = Normalizer(lower, chinese, accents)
    rust = BertNormalizer(clean_text=True, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower)
    blocks = BLOCKS if (lower, chinese, accents) in [(True, True, None), (False, False, True)] else BLOCKS[:50]
    for block in blocks:
        assert normalizer(block)[0] == rust.normalize_str(block)


def test_splitting_at_every_code_point() -> None:
    bert, whitespace = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.WhitespaceSplit()
    for block in BLOCKS:
        assert split_words(block) == [span for _, span in bert.pre_tokenize_str(block)]
        assert split_whitespace(block) == [span for _, span in whitespace.pre_tokenize_str(block)]


def test_every_code_point_beside_an_added_token() -> None:
    _, fast = both_tokenizers(vocab=[*SMALL_VOCAB, "%%"], never_split=["%%"])
    backend: Tokenizer = fast.backend_tokenizer
    token_id = fast.convert_tokens_to_ids("%%")
    for first in range(0, len(CHARACTERS), BLOCK_SIZE):
        block = CHARACTERS[first : first + BLOCK_SIZE]
        encoding = backend.encode("\n".join(f"{char}%%" for char in block), add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        found = {start // 4 for token, (start, _) in pairs if token == token_id}  # "%%%" begins with the token
        assert found == {index for index, char in enumerate(block) if char not in unicode.WORD_CHARACTERS}


def test_every_decomposition_and_every_order_of_marks() -> None:
    nfd = normalizers.NFD()
    for char in CHARACTERS[:0x30000]:
        assert unicode.decompose(char) == nfd.normalize_str(char)
    marks = [char for char in CHARACTERS if unicode.combining_class(char)]
    by_class = {unicode.combining_class(char): char for char in marks}
    for mark, other in itertools.product(marks, by_class.values()):
        in_order = unicode.combining_class(mark) <= unicode.combining_class(other)
        first, second = unicode.decompose(mark), unicode.decompose(other)
        assert nfd.normalize_str(mark + other) == (first + second if in_order else second + first)


def test_a_sigma_at_the_end_of_a_word_is_lowered_like_any_other() -> None:
    assert Normalizer()("ΟΔΟΣ") == ("οδοσ", [0, 1, 2, 3])


def test_origins_of_removed_spaced_and_decomposed_characters() -> None:
    assert Normalizer()("a\0é\u00adb") == ("aeb", [0, 2, 4])
    assert Normalizer()("中b") == (" 中 b", [0, 0, 0, 1])
    assert Normalizer(strip_accents=False)("İx") == ("i\u0307x", [0, 0, 1])
