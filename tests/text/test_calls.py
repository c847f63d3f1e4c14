"""The arguments of a call, valid and invalid."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from distilbert.core.errors import InputError, UnknownArgumentError
from distilbert.text.fast import WordCache

from .helpers import CLASSES, SMALL_VOCAB


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(vocab=SMALL_VOCAB, model_max_length=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "text must be a str or a list of str, but is None"),
        ((3,), "text must be a str or a list of str, but is 3 of type int"),
        ((b"a",), "but is b'a' of type bytes"),
        ((["a", None],), r"text\[1\] must be a str, but is None"),
        ((["a", float("nan")],), r"text\[1\] must be a str, but is nan of type float"),
        (([["a"]],), r"text\[0\] must be a str, but is .*is_split_into_words=True"),
        ((["a"], "b"), "text is a list but text_pair is a single text; pass a list"),
        ((["a"], ["b", "c"]), "text has 1 inputs but text_pair has 2"),
        (("a", ["b"]), r"text_pair\[0\] must be a str"),
        ((["a"], [2]), r"text_pair\[0\] must be a str, but is 2 of type int"),
    ],
)
def test_inputs_of_the_wrong_type(tokenizer: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "max"}, "padding='max' is not known"),
        ({"truncation": "longest"}, "truncation='longest' is not known.*longest_first"),
        ({"padding_side": "top", "padding": "max_length"}, "padding_side='top' is not known"),
        ({"truncation": True, "max_length": 1}, "max_length=1 has no room for the 2 special tokens"),
        ({"truncation": True, "max_length": 4, "stride": 2}, "stride=2 must be at least 0 and smaller than 2"),
        ({"truncation": True, "max_length": 4, "stride": -1}, "stride=-1 must be at least 0"),
        ({"truncation": "only_second", "max_length": 4}, "Input 0: truncation='only_second' needs a pair"),
        ({"padding": True, "pad_to_multiple_of": 0}, "pad_to_multiple_of=0 must be at least 1"),
        (
            {"padding": True, "truncation": True, "max_length": 6, "pad_to_multiple_of": 4},
            "max_length=6 is not a multiple",
        ),
        ({"truncation": True, "max_length": 2, "return_overflowing_tokens": True}, "room for special tokens only"),
    ],
)
def test_invalid_options(tokenizer: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer("a b c d", **options)


def test_pairs_that_cannot_be_truncated(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="Input 1: the second text has 3 tokens and leaves no room"):
        tokenizer(["a", "a b c"], ["b", "a b c"], truncation="only_first", max_length=6)
    with pytest.raises(InputError, match="Input 0: stride=1 must be smaller than the 1 tokens"):
        tokenizer(["a b"], ["a b c"], truncation="only_second", max_length=6, stride=1)


def test_unknown_arguments(tokenizer: Any) -> None:
    with pytest.raises(UnknownArgumentError, match=r"'paddin'\. Did you mean 'padding'"):
        tokenizer("a", paddin=True)
    with pytest.raises(UnknownArgumentError, match=r"'truncate'. Did you mean 'truncation'"):
        tokenizer.encode("a", truncate=True)


def test_default_lengths(tokenizer: Any) -> None:
    text = "a b c d e f"
    assert len(tokenizer(text, truncation=True)["input_ids"]) == 6
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 6
    assert len(tokenizer(text, max_length=4)["input_ids"]) == 4
    assert len(tokenizer(text, max_length=4, padding=True)["input_ids"]) == 8
    tokenizer.model_max_length = int(1e30)
    assert len(tokenizer(text, truncation=True, padding="max_length")["input_ids"]) == 8


def test_the_warning_about_length_comes_once(tokenizer: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokenizer("a b c d e f", verbose=False)
        tokenizer.encode_ids(["a b c d e f"])
        tokenizer("a b c d e f", truncation=True)
        assert not caplog.records
        tokenizer("a b c d e f")
        tokenizer("a b c d e f")
    assert [record.getMessage()[:32] for record in caplog.records] == ["A text has 8 tokens, more than t"]


def test_aliases(tokenizer: Any) -> None:
    assert tokenizer.encode("a", "b") == tokenizer.encode_plus("a", "b")["input_ids"] == [2, 5, 3, 6, 3]
    assert tokenizer.batch_encode_plus([("a", "b"), ("b", "a")])["input_ids"] == [[2, 5, 3, 6, 3], [2, 6, 3, 5, 3]]
    assert tokenizer.tokenize("a", "b", add_special_tokens=True) == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert tokenizer.encode_ids(["a", "b"], add_special_tokens=False) == [[5], [6]]
    assert tokenizer.encode_ids([]) == []


def test_all_columns(tokenizer: Any) -> None:
    batch = tokenizer(
        "a",
        "b",
        return_token_type_ids=True,
        return_attention_mask=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_length=True,
    )
    assert dict(batch) == {
        "input_ids": [2, 5, 3, 6, 3],
        "token_type_ids": [0, 0, 0, 1, 1],
        "special_tokens_mask": [1, 0, 1, 0, 1],
        "offset_mapping": [(0, 0), (0, 1), (0, 0), (0, 1), (0, 0)],
        "length": 5,
    }


def test_lone_surrogates_are_dropped(tokenizer: Any) -> None:
    batch = tokenizer(["a \ud83d b"], ["\udc00"], return_offsets_mapping=True)
    assert batch["input_ids"] == [[2, 5, 6, 3, 3]]
    assert batch["offset_mapping"][0][2] == (4, 5)
    assert tokenizer.encode_ids(["a\ud83d"]) == [[2, 5, 3]]
    assert tokenizer([["a", "\ud83d"]], is_split_into_words=True)["input_ids"] == [[2, 5, 3]]


def test_decode_of_other_than_one_sequence(tokenizer: Any) -> None:
    assert tokenizer.decode(5) == "a"
    assert tokenizer.decode([[5], [6, 7]]) == ["a", "b c"]
    with pytest.raises(InputError, match=r"id -100. Replace label masks"):
        tokenizer.decode([5, -100])
    for method, name in ((tokenizer.decode, "decode"), (tokenizer.convert_ids_to_tokens, "convert_ids_to_tokens")):
        with pytest.raises(InputError, match=rf"^{name} takes integers, but got 0.5 of type float"):
            method([0.5])
        with pytest.raises(InputError, match=rf"^{name} takes integers, but got 'a' of type str"):
            method(["a"])
        for value in ("abc", None, b"a"):
            with pytest.raises(InputError, match=rf"^{name} takes an id or a list of ids, got {value!r} of type"):
                method(value)


def test_threads_do_not_disturb_each_other(tokenizer: Any) -> None:
    text = " ".join("abcdefgh" * 3)
    lengths = [3 + index % 17 for index in range(400)]

    def ids(length: int) -> list[int]:
        input_ids: list[int] = tokenizer(text, truncation=True, max_length=length)["input_ids"]
        return input_ids

    expected = {length: ids(length) for length in set(lengths)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ids, lengths)) == [expected[length] for length in lengths]


def test_the_cache_asks_for_a_word_once_and_forgets_all_words_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_words: list[str] = []

    def encode(words: Sequence[str]) -> list[list[int]]:
        encoded_words.extend(words)
        return [[ord(word[0]), len(word)] for word in words]

    cache = WordCache(CLASSES[1](vocab=SMALL_VOCAB).spec, encode)
    assert cache(["Be a b!", "be", "", "\u00e9", "[MASK]", "[mask]"]) == [
        [98, 2, 97, 1, 98, 1, 33, 1], [98, 2], [], None, None, None,
    ]  # fmt: skip
    assert cache(["a be"]) == [[97, 1, 98, 2]]
    assert encoded_words == ["!", "a", "b", "be"]
    monkeypatch.setattr("distilbert.text.fast.MAX_CACHED_WORDS", 5)
    assert cache(["a c", "d"]) == [[97, 1, 99, 1], [100, 1]]
    assert encoded_words[4:] == ["a", "c", "d"]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from distilbert import DistilBertTokenizer; DistilBertTokenizer(vocab=['[UNK]', 'a'])('a');"
        "print([m for m in ('torch', 'tokenizers', 'transformers', 'tensorflow', 'jax') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_call_leaves_no_state_behind() -> None:
    fast = CLASSES[1](vocab=SMALL_VOCAB)
    before = fast.backend_tokenizer.to_str()
    fast(["a b c d", "a"], padding=True, truncation=True, max_length=4)
    fast.encode_ids(["a b c d"])
    assert fast.backend_tokenizer.to_str() == before
    assert fast.backend_tokenizer.truncation is None
    assert fast.backend_tokenizer.padding is None
