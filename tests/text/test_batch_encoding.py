"""The result of a call: columns, look-ups, tensors, copies."""

from __future__ import annotations

import copy
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import torch

from distilbert.core.errors import InputError, MissingExtraError
from distilbert.text.batch_encoding import BatchEncoding, CharSpan, TokenSpan

from .helpers import CLASSES, SMALL_VOCAB


@pytest.fixture(params=CLASSES)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param(vocab=SMALL_VOCAB)


def test_columns_by_key_by_attribute_and_as_keyword_arguments(tokenizer: Any) -> None:
    batch = tokenizer("the cafés")
    assert batch["input_ids"] == batch.input_ids == dict(**batch)["input_ids"] == [2, 59, 60, 50, 3]
    assert list(batch) == ["input_ids", "attention_mask"]
    assert "token_type_ids" not in batch
    batch["labels"] = [1]
    assert batch.pop("labels") == [1]
    with pytest.raises(AttributeError, match="no attribute or column 'logits'"):
        batch.logits
    assert batch.is_fast == tokenizer.is_fast


def test_a_single_text_gives_flat_columns(tokenizer: Any) -> None:
    assert tokenizer(["the"])["input_ids"] == [[2, 59, 3]]
    assert tokenizer("the", return_tensors="np")["input_ids"].shape == (1, 3)
    assert tokenizer([])["input_ids"] == []
    assert tokenizer(["the", "play"], is_split_into_words=True)["input_ids"] == [2, 59, 61, 3]
    assert tokenizer([("the", "play")])["input_ids"] == [[2, 59, 3, 61, 3]]


def test_look_ups(tokenizer: Any) -> None:
    batch = tokenizer(["a", "the cafés"], ["b", "play!"])
    assert batch.n_sequences == 2
    assert batch.tokens(1) == ["[CLS]", "the", "cafe", "##s", "[SEP]", "play", "!", "[SEP]"]
    assert batch.word_ids(1) == [None, 0, 1, 1, None, 0, 1, None]
    assert batch.sequence_ids(1) == [None, 0, 0, 0, None, 1, 1, None]
    assert batch.char_to_token(1, 8) == 3
    assert batch.char_to_token(1, 3) is None
    assert batch.char_to_token(1, 4, sequence_index=1) == 6
    assert batch.char_to_token(0) == 1
    assert batch.char_to_word(1, 8) == 1
    assert batch.token_to_chars(1, 3) == CharSpan(8, 9)
    assert batch.token_to_chars(1, 0) is None
    assert batch.token_to_word(1, 3) == 1
    assert batch.token_to_sequence(1, 5) == 1
    assert batch.token_to_sequence(1, -2) == 1
    assert batch.word_to_tokens(1, 1) == TokenSpan(2, 4)
    assert batch.word_to_chars(1, 1) == CharSpan(4, 9)
    assert batch.word_to_chars(1, 1, 1) == CharSpan(4, 5)
    assert batch.word_to_tokens(1, 9) is None
    with pytest.raises(InputError, match="no token 99: the input has 8"):
        batch.token_to_word(1, 99)
    with pytest.raises(InputError, match="no input 7: the batch has 2"):
        batch.tokens(7)
    with pytest.raises(InputError, match="not made by a tokenizer call"):
        BatchEncoding({"input_ids": [1]}).tokens()


def test_look_ups_with_padding(tokenizer: Any) -> None:
    batch = tokenizer(["a", "the cafés"], padding=True, padding_side="left", return_special_tokens_mask=True)
    assert batch.tokens(0) == ["[PAD]", "[PAD]", "[CLS]", "a", "[SEP]"]
    assert batch.word_ids(0) == [None, None, None, 0, None]
    assert batch.attention_mask[0] == [0, 0, 1, 1, 1]
    assert batch.special_tokens_mask[0] == [1, 1, 1, 0, 1]


def test_tensors(tokenizer: Any) -> None:
    batch = tokenizer(["a", "the cafés"], padding=True, return_tensors="pt", return_offsets_mapping=True)
    assert batch.input_ids.dtype == torch.int64
    assert batch.offset_mapping.shape == (2, 5, 2)
    assert batch.to("cpu") is batch
    arrays = tokenizer(["a", "b"], return_tensors="np")
    assert arrays.input_ids.dtype == np.int64
    assert arrays.to("cpu") is arrays
    assert isinstance(arrays.convert_to_tensors("pt").input_ids, torch.Tensor)
    empty = tokenizer("", add_special_tokens=False, return_tensors="pt")
    assert empty.input_ids.dtype == torch.int64
    assert tuple(empty.input_ids.shape) == (1, 0)


def test_tensors_that_are_impossible(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'input_ids' have different lengths \(3 to 5\).*padding=True"):
        tokenizer(["a", "the cafés"], return_tensors="np")
    with pytest.raises(InputError, match="return_tensors='pd' is not known"):
        tokenizer("a", return_tensors="pd")
    with pytest.raises(InputError, match="list, which cannot move to 'cuda'"):
        tokenizer("a").to("cuda")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"distilbert\[keras\]"):
        tokenizer("a", return_tensors="tf")


@pytest.mark.parametrize(("tensor_type", "module"), [("tf", "tensorflow"), ("jax", "jax")])
def test_tensors_of_tensorflow_and_jax(tokenizer: Any, tensor_type: str, module: str) -> None:
    pytest.importorskip(module)
    texts = ["a", "the cafés"]
    arrays = tokenizer(texts, padding=True, return_tensors="np")
    tensors = tokenizer(texts, padding=True, return_tensors=tensor_type)
    for name, array in arrays.items():
        assert not isinstance(tensors[name], np.ndarray)
        assert module in type(tensors[name]).__module__ + str(type(tensors[name]).__mro__)
        np.testing.assert_array_equal(np.asarray(tensors[name]), array)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))])
def test_copies(tokenizer: Any, duplicate: Any) -> None:
    batch = duplicate(tokenizer(["the cafés"], ["a"]))
    assert batch.input_ids == [[2, 59, 60, 50, 3, 5, 3]]
    assert batch.tokens() == ["[CLS]", "the", "cafe", "##s", "[SEP]", "a", "[SEP]"]
    other = duplicate(tokenizer)
    other.add_tokens(["xyz"])
    assert other("xyz").input_ids == [2, 97, 3]
    assert len(tokenizer) == 97


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda original: pickle.loads(pickle.dumps(original))])
def test_copies_keep_attributes_and_leave_out_what_is_rebuilt(tokenizer: Any, duplicate: Any) -> None:
    tokenizer.prompt, tokenizer._cache_size = "query: ", 3
    tokenizer.padding_side, tokenizer.verbose = "left", False
    state = tokenizer.__getstate__()
    tokenizer(["the cafés"], truncation=True, max_length=4)
    tokenizer.encode_ids(["the"])
    assert tokenizer.__getstate__() == state
    assert set(state) == {"spec", "name_or_path", "verbose", "prompt", "_cache_size"}
    for other in (duplicate(tokenizer), duplicate(duplicate(tokenizer))):
        assert (other.prompt, other._cache_size, other.padding_side, other.verbose) == ("query: ", 3, "left", False)
        assert vars(other).keys() == vars(tokenizer).keys()
        other.add_tokens(["xyz"])
    assert len(tokenizer) == 97


def test_windows_name_their_input(tokenizer: Any) -> None:
    batch = tokenizer(
        ["a b c d e", "a"], truncation=True, max_length=5, stride=1, return_overflowing_tokens=True, padding=True
    )
    assert batch.overflow_to_sample_mapping == [0, 0, 1]
    assert batch.input_ids == [[2, 5, 6, 7, 3], [2, 7, 8, 9, 3], [2, 5, 3, 0, 0]]
    single = tokenizer("a b c d e", truncation=True, max_length=5, return_overflowing_tokens=True)
    assert single.input_ids == [[2, 5, 6, 7, 3], [2, 8, 9, 3]]


def test_pad_as_collators_call_it(tokenizer: Any) -> None:
    rows = [{"input_ids": [2, 5, 3], "labels": 1}, {"input_ids": [2, 5, 6, 7, 3], "labels": 0}]
    batch = tokenizer.pad(rows, return_tensors="pt", pad_to_multiple_of=4)
    assert batch.input_ids.tolist() == [[2, 5, 3, 0, 0, 0, 0, 0], [2, 5, 6, 7, 3, 0, 0, 0]]
    assert batch.attention_mask.sum(1).tolist() == [3, 5]
    assert batch.labels.tolist() == [1, 0]
    single = tokenizer.pad({"input_ids": torch.tensor([2, 3])}, padding="max_length", max_length=4)
    assert single.input_ids.tolist() == [2, 3, 0, 0]
    padded = tokenizer.pad(tokenizer(["a", "a b"], return_offsets_mapping=True), padding_side="left")
    assert padded.offset_mapping[0] == [(0, 0), (0, 0), (0, 1), (0, 0)]
    assert rows[0]["input_ids"] == [2, 5, 3]
    with pytest.raises(InputError, match=r"column 'input_ids', but got only \['ids'\]"):
        tokenizer.pad([{"ids": [1]}])
    with pytest.raises(InputError, match="dict or a list of dicts, but got list"):
        tokenizer.pad([[1]])
    assert tokenizer.pad({"input_ids": [], "length": 0}) == {"input_ids": [], "attention_mask": [], "length": 0}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([{"input_ids": [2], "x": 1}, {"input_ids": [2]}], "row 1 has no 'x', as row 0 has"),
        ([{"input_ids": [2]}, {"input_ids": [2]}, {"input_ids": [2], "x": 1}], "row 0 has no 'x', as row 2 has"),
        ({"input_ids": [[2], [2]], "attention_mask": [[1]]}, "'attention_mask' has 1 rows, but 'input_ids' has 2"),
        ({"input_ids": [[2]], "labels": [1, 0]}, "'labels' has 2 rows, but 'input_ids' has 1"),
        ({"input_ids": [[2]], "labels": 1}, "the column 'labels' as a list, but got 1"),
        ({"input_ids": [[2]], "text": "a"}, "the column 'text' as a list, but got 'a'"),
        ({"input_ids": None}, "the column 'input_ids' as a list, but got None"),
        ({"input_ids": [[2, 3], [2]], "attention_mask": [[1, 1], [1, 1]]}, "Row 1 of 'attention_mask' has 2 values"),
        ({"input_ids": [2, 3], "token_type_ids": [0]}, "Row 0 of 'token_type_ids' has 1 values, but 2 of 'input_ids'"),
        (
            [{"input_ids": [2], "attention_mask": None}],
            "Row 0 of the column 'attention_mask' must be a list, but is None",
        ),
        ({"input_ids": [[2], 3]}, "Row 1 of the column 'input_ids' must be a list, but is 3"),
    ],
)
@pytest.mark.parametrize("padding", [True, False])
def test_columns_that_do_not_fit_together(tokenizer: Any, inputs: Any, message: str, padding: bool) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer.pad(inputs, padding)


@pytest.mark.parametrize("tensor_type", ["pt", "np"])
def test_columns_that_cannot_become_a_tensor(tokenizer: Any, tensor_type: str) -> None:
    rows = [{"input_ids": [2, 3]}, {"input_ids": [2]}]
    for values, message in (
        (("a", "b"), "'column' cannot become a tensor: row 0 holds 'a', not numbers"),
        ((1, "b"), "'column' cannot become a tensor: row 1 holds 'b', not numbers"),
        ((1, None), "'column' cannot become a tensor: row 1 holds None, not numbers"),
        (([1, 2], [1, None]), r"'column' cannot become a tensor: row 1 holds \[1, None\], not numbers"),
        ((1, [2, 3]), "Some rows of 'column' are lists and others are not"),
        (([1], [2, 3]), r"The rows of 'column' have different lengths \(1 to 2\)"),
    ):
        batch = [{**row, "column": value} for row, value in zip(rows, values, strict=True)]
        with pytest.raises(InputError, match=message):
            tokenizer.pad(batch, return_tensors=tensor_type)
        assert tokenizer.pad(batch)["column"] == list(values)
    with pytest.raises(InputError, match="row 0 holds 'a', not numbers"):
        tokenizer.pad({"input_ids": [2], "column": "a"}, return_tensors=tensor_type)
    for numbers in ([True, False], [0.5, 1], [[0.5], [1]]):
        batch = tokenizer.pad({"input_ids": [[2], [3]], "column": numbers}, return_tensors=tensor_type)
        assert batch.column.tolist() == numbers
