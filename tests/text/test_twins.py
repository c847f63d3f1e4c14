"""The pure and the Rust-backed class give the same results on any Unicode text, and so does transformers."""

from __future__ import annotations

import copy
import re
import warnings
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.text.added_tokens import AddedToken

from .helpers import SMALL_VOCAB, as_dict, both_tokenizers
from .strategies import plain_texts, texts, words

# Together longer than the regular expression with which a few tokens are found.
MANY_TOKENS = [
    *(
        AddedToken(f"{first}{second}{third}", single_word=third == "b")
        for first in "ab"
        for second in "é! b"
        for third in "bc中"
    ),
    *(AddedToken("a" * length + "!", normalized=length % 2 == 0, rstrip=length % 3 == 0) for length in range(1, 25)),
    *(AddedToken(f"the {word}", lstrip=True) for word in ("cafe", "play", "cafe playing", "Foo", "[", "dog")),
    *(f"<{letter * 3}>" for letter in "abcdefghijklmnopqrstuvwxyz"),
    *("##s", "!", "..", "foo", "FOO", "Ab"),
]
OPTIONS: dict[str, dict[str, Any]] = {
    "uncased": {},
    "cased": {"do_lower_case": False},
    "cased without accents": {"do_lower_case": False, "strip_accents": True},
    "uncased with accents": {"strip_accents": False},
    "chinese words": {"tokenize_chinese_chars": False},
    "whitespace only": {"do_basic_tokenize": False},
    "never split": {"never_split": ["Foo", "é"]},
    "added": {
        "added_tokens": [
            "foo bar",
            "Foo",
            "É",
            AddedToken("ee", single_word=True),
            AddedToken("ii", lstrip=True, rstrip=True, normalized=False),
            AddedToken("a", single_word=True, normalized=False, lstrip=True),
            AddedToken("中", rstrip=True),
            AddedToken("the", special=True),
        ],
        "mask_token": AddedToken("[MASK]", lstrip=True, special=True),
    },
    "many added": {"added_tokens": [*MANY_TOKENS]},
}


@cache
def pure_and_fast(name: str) -> tuple[Any, Any]:
    return both_tokenizers(**OPTIONS[name])


@cache
def transformers_tokenizer(name: str) -> Any:
    from transformers import DistilBertTokenizer

    return DistilBertTokenizer(
        vocab={token: index for index, token in enumerate(SMALL_VOCAB)}, model_max_length=512, **OPTIONS[name]
    )


@pytest.mark.parametrize("name", OPTIONS)
@given(text=texts)
@settings(max_examples=150, deadline=None)
def test_single_texts(name: str, text: str) -> None:
    pure, fast = pure_and_fast(name)
    assert as_dict(pure.encode_batch([text])[0]) == as_dict(fast.encode_batch([text])[0])


@given(first=texts, second=texts, special=st.booleans())
@settings(max_examples=100, deadline=None)
def test_pairs(first: str, second: str, special: bool) -> None:
    pure, fast = pure_and_fast("uncased")
    actual = pure.encode_batch([first], [second], add_special_tokens=special)[0]
    expected = fast.encode_batch([first], [second], add_special_tokens=special)[0]
    assert as_dict(actual) == as_dict(expected)
    assert pure.encode_ids([first], [second], special) == [expected.ids]
    assert fast.encode_ids([first], [second], special) == [expected.ids]


@pytest.mark.parametrize("name", OPTIONS)
@given(batch=st.lists(texts | plain_texts, max_size=4), special=st.booleans())
@settings(max_examples=150, deadline=None)
def test_ids_of_words_that_were_seen_before(name: str, batch: list[str], special: bool) -> None:
    pure, fast = pure_and_fast(name)
    assert fast.encode_ids(batch, None, special) == pure.encode_ids(batch, None, special)


@pytest.mark.parametrize("name", ["uncased", "whitespace only", "added"])
@given(first=words, second=st.none() | words)
@settings(max_examples=60, deadline=None)
def test_texts_that_are_split_into_words(name: str, first: list[str], second: list[str] | None) -> None:
    pure, fast = pure_and_fast(name)
    seconds = None if second is None else [second]
    actual = pure.encode_batch([first], seconds, is_split_into_words=True)[0]
    expected = fast.encode_batch([first], seconds, is_split_into_words=True)[0]
    assert as_dict(actual) == as_dict(expected)


def encoding_or_error(tokenizer: Any, first: str, second: str | None, **options: Any) -> Any:
    """Return the encoding of a text or pair as a dict, or the message of the error."""
    try:
        return as_dict(tokenizer.encode_batch([first], None if second is None else [second], **options)[0])
    except InputError as error:
        return str(error)


@given(
    first=texts,
    second=st.none() | texts,
    strategy=st.sampled_from(["longest_first", "only_first", "only_second"]),
    max_length=st.integers(3, 24),
    stride=st.integers(0, 8),
    special=st.booleans(),
    side=st.sampled_from(["right", "left"]),
    name=st.sampled_from(["uncased", "whitespace only", "added"]),
)
@settings(max_examples=400, deadline=None)
def test_truncation(
    first: str, second: str | None, strategy: str, max_length: int, stride: int, special: bool, side: str, name: str
) -> None:
    pure, fast = copy.deepcopy(pure_and_fast(name))
    pure.truncation_side = fast.truncation_side = side
    options = {"truncation": strategy, "max_length": max_length, "stride": stride, "add_special_tokens": special}
    assert encoding_or_error(pure, first, second, **options) == encoding_or_error(fast, first, second, **options)


@pytest.mark.parametrize("name", ["uncased", "cased", "cased without accents", "uncased with accents", "chinese words"])
@given(first=texts, second=st.none() | texts.filter(bool))  # transformers takes "" for no second text
@settings(max_examples=60, deadline=None)
def test_against_transformers(name: str, first: str, second: str | None) -> None:
    pure, fast = pure_and_fast(name)
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_token_type_ids": True}
    expected = transformers_tokenizer(name)(first, second, **options)
    for tokenizer in (pure, fast):
        actual = tokenizer(first, second, **options)
        assert dict(actual) == dict(expected)
        assert actual.word_ids() == expected.word_ids()
        assert actual.sequence_ids() == expected.sequence_ids()


@given(
    batch=st.lists(texts, min_size=1, max_size=4),
    padding=st.sampled_from([True, False, "longest", "max_length", "do_not_pad"]),
    truncation=st.sampled_from([None, True, False, "only_first", "longest_first"]),
    max_length=st.none() | st.integers(4, 16),
    stride=st.integers(0, 1),
    multiple=st.sampled_from([None, 4]),
    side=st.sampled_from(["right", "left"]),
    overflow=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_calls_against_transformers(
    batch: list[str],
    padding: Any,
    truncation: Any,
    max_length: int | None,
    stride: int,
    multiple: int | None,
    side: str,
    overflow: bool,
) -> None:
    options = {
        "padding": padding,
        "truncation": truncation,
        "max_length": max_length,
        "stride": stride,
        "pad_to_multiple_of": multiple,
        "padding_side": side,
        "return_overflowing_tokens": overflow,
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
    }
    results: list[Any] = []
    for tokenizer in (transformers_tokenizer("uncased"), *pure_and_fast("uncased")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results.append(dict(tokenizer(batch, **options)))
            except ValueError:
                results.append(ValueError)
    assert results[0] == results[1] == results[2]


@given(
    first=texts, second=texts, truncation=st.sampled_from([True, "only_first", "only_second"]), stride=st.integers(0, 2)
)
@settings(max_examples=100, deadline=None)
def test_pair_windows_against_transformers(first: str, second: str, truncation: Any, stride: int) -> None:
    options = {
        "truncation": truncation,
        "max_length": 12,
        "stride": stride,
        "return_overflowing_tokens": True,
        "return_offsets_mapping": True,
        "return_token_type_ids": True,
    }
    pure, fast = pure_and_fast("uncased")
    try:
        actual = pure([first], [second], **options)
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            fast([first], [second], **options)
        return
    expected = transformers_tokenizer("uncased")([first], [second], **options)
    for batch in (actual, fast([first], [second], **options)):
        assert dict(batch) == dict(expected)
        for row in range(len(expected["input_ids"])):
            assert batch.sequence_ids(row) == expected.sequence_ids(row)


@given(
    ids=st.lists(st.integers(0, len(SMALL_VOCAB) + 3), max_size=20),
    skip=st.booleans(),
    clean=st.sampled_from([None, True]),
)
@settings(max_examples=200, deadline=None)
def test_decode(ids: list[int], skip: bool, clean: bool | None) -> None:
    pure, fast = pure_and_fast("uncased")
    expected = transformers_tokenizer("uncased").decode(
        ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean
    )
    for tokenizer in (pure, fast):
        assert tokenizer.decode(ids, skip, clean) == expected
    assert fast.backend_tokenizer.decode(ids, skip_special_tokens=True) == pure.decode(ids, True)
    tokens = [SMALL_VOCAB[index] for index in ids if index < len(SMALL_VOCAB)]
    assert pure.convert_tokens_to_string(tokens) == fast.backend_tokenizer.decoder.decode(tokens)
