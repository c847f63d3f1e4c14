"""Ids, tokens, offsets and lengths worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.text.truncation import Truncation, share_room, truncated_lengths, window_spans
from distilbert.text.wordpiece import Normalizer, join_tokens, split_tokens, split_words

from .helpers import CLASSES, DATA, SMALL_VOCAB, both_tokenizers

IDS_OF_TEXTS = {
    "the cafés": [2, 59, 60, 50, 3],
    "The play!": [2, 59, 61, 74, 3],
    "unaffable": [2, 63, 64, 65, 3],
    "[MASK], zb": [2, 4, 73, 30, 33, 3],
    "a中b": [2, 5, 68, 6, 3],
    "aé二b": [2, 5, 36, 1, 6, 3],
    "": [2, 3],
    " \t\n": [2, 3],
}
IDS = {"a": 5, "b": 6, "z": 30, "##b": 33, "##e": 36, "##s": 50, "the": 59, "cafe": 60, "play": 61, "un": 63, "!": 74}


def test_the_small_vocabulary_has_the_ids_written_below() -> None:
    assert {entry: SMALL_VOCAB.index(entry) for entry in IDS} == IDS


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("text", IDS_OF_TEXTS)
def test_small_vocabulary(cls: type[Any], text: str) -> None:
    assert cls(vocab=SMALL_VOCAB)(text)["input_ids"] == IDS_OF_TEXTS[text]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_published_vocabulary(cls: type[Any]) -> None:
    path = DATA / "vocab" / "uncased.txt"
    if not path.is_file():
        pytest.skip("the data set 'vocab' is missing")
    tokenizer = cls(path)
    assert tokenizer("Hello, my dog is cute")["input_ids"] == [101, 7592, 1010, 2026, 3899, 2003, 10140, 102]
    assert tokenizer("Paris is the [MASK] of France.")["input_ids"] == [
        101, 3000, 2003, 1996, 103, 1997, 2605, 1012, 102,
    ]  # fmt: skip
    assert tokenizer("embeddings", add_special_tokens=False).tokens() == ["em", "##bed", "##ding", "##s"]
    assert tokenizer.encode("Who?", "Me.") == [101, 2040, 1029, 102, 2033, 1012, 102]


def test_the_worked_example_of_the_module() -> None:
    text, origins = Normalizer()("The cafés!")
    assert (text, list(origins)) == ("the cafes!", list(range(10)))
    assert split_words(text) == [(0, 3), (4, 9), (9, 10)]
    vocab = {entry: index for index, entry in enumerate(["[UNK]", "the", "cafe", "##s", "!"])}
    assert split_tokens("cafes", vocab) == [("cafe", 0, 4), ("##s", 4, 5)]
    assert split_tokens("cafet", vocab) is None
    assert join_tokens(["the", "cafe", "##s", "!"]) == "the cafes!"


def test_words_of_more_than_a_hundred_characters_are_unknown() -> None:
    for tokenizer in both_tokenizers():
        assert tokenizer.tokenize("a" * 100) == ["a"] + ["##a"] * 99
        assert tokenizer.tokenize("a" * 101) == ["[UNK]"]


def test_offsets_words_and_sequences_of_a_pair() -> None:
    for tokenizer in both_tokenizers():
        encoding = tokenizer.encode_batch(["the cafés"], ["pläy!"])[0]
        assert encoding.tokens == ["[CLS]", "the", "cafe", "##s", "[SEP]", "play", "!", "[SEP]"]
        assert encoding.offsets == [(0, 0), (0, 3), (4, 8), (8, 9), (0, 0), (0, 4), (4, 5), (0, 0)]
        assert encoding.word_ids == [None, 0, 1, 1, None, 0, 1, None]
        assert encoding.sequence_ids == [None, 0, 0, 0, None, 1, 1, None]
        assert encoding.type_ids == [0, 0, 0, 0, 0, 1, 1, 1]
        assert encoding.special_tokens_mask == [1, 0, 0, 0, 1, 0, 0, 1]


def test_window_spans() -> None:
    assert window_spans(5, 3, 1, "right") == [(0, 3), (2, 5)]
    assert window_spans(5, 3, 1, "left") == [(2, 5), (0, 3)]
    assert window_spans(6, 2, 0, "right") == [(0, 2), (2, 4), (4, 6)]
    assert window_spans(5, 2, 0, "right") == [(0, 2), (2, 4), (4, 5)]
    assert window_spans(7, 3, 0) == [(0, 3), (3, 6), (6, 7)]
    assert window_spans(3, 3, 1) == [(0, 3)]
    assert window_spans(0, 3, 1) == [(0, 0)]


@given(st.integers(1, 80), st.integers(1, 20), st.sampled_from(["right", "left"]), st.data())
def test_windows_cover_the_text_and_repeat_the_stride(length: int, size: int, side: str, data: Any) -> None:
    stride = data.draw(st.integers(0, size - 1))
    spans = window_spans(length, size, stride, side)
    if side == "left":
        spans = [(length - stop, length - start) for start, stop in spans]
    starts, stops = zip(*spans, strict=True)
    assert starts[0] == 0
    assert stops[-1] == length
    assert all(stop - start == size for start, stop in spans[:-1])
    assert 0 < stops[-1] - starts[-1] <= size
    assert all(start == stop - stride for start, stop in zip(starts[1:], stops[:-1], strict=True))
    assert all(stop > previous for stop, previous in zip(stops[1:], stops[:-1], strict=True))


def test_lengths_of_truncated_pairs() -> None:
    assert truncated_lengths(10, 4, Truncation(10, "longest_first")) == (6, 4)
    assert truncated_lengths(10, 9, Truncation(10, "longest_first")) == (5, 5)
    assert truncated_lengths(9, 10, Truncation(11, "longest_first")) == (5, 6)
    assert truncated_lengths(10, 9, Truncation(11, "longest_first")) == (6, 5)
    assert truncated_lengths(10, 4, Truncation(10, "only_first")) == (6, 4)
    assert truncated_lengths(4, 10, Truncation(10, "only_second")) == (4, 6)
    assert truncated_lengths(4, 3, Truncation(10, "only_second")) == (4, 3)
    assert share_room(10, 10, 11) == (5, 6)


def test_never_split_words_stay_whole_and_cased() -> None:
    for tokenizer in both_tokenizers(never_split=["Foo"]):
        assert tokenizer.tokenize("Foo foo aFoo Foo!") == [
            "Foo", "f", "##o", "##o", "a", "##f", "##o", "##o", "Foo", "!",
        ]  # fmt: skip
        assert tokenizer.tokenize("Foo!") == ["Foo", "!"]


def test_decode() -> None:
    for tokenizer in both_tokenizers():
        ids = tokenizer.encode("The cafés play, don't they?")
        assert tokenizer.decode(ids) == "[CLS] the cafes play, don ' t they? [SEP]"
        assert tokenizer.decode(ids, True, True) == "the cafes play, don't they?"
        assert tokenizer.decode(tokenizer.encode("the cafés."), skip_special_tokens=True) == "the cafes."
        assert tokenizer.batch_decode([[59, 60], [61, 62]]) == ["the cafe", "playing"]
