"""Calls that no model can answer, of every framework: texts, ragged lists, labels out of range, no tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from distilbert import InputError
from tests.tiny import CHOICES, LABELS, SIZES

IDS = np.array([[2, 5, 6, 3]], np.int32)
CLASSES = {
    "ForSequenceClassification": (LABELS, (1,)),
    "ForTokenClassification": (LABELS, (1, 4)),
    "ForMaskedLM": (SIZES["vocab_size"], (1, 4)),
    "ForMultipleChoice": (CHOICES, (1,)),
}  # head -> how many classes, and the shape of the labels


class UnusableCall(NamedTuple):
    """A call, and a pattern of the message that it gets. Arrays are passed as tensors, lists and texts as they are."""

    head: str
    arguments: dict[str, Any]
    message: str


def labels_of(shape: tuple[int, ...], number: int) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    labels.flat[0] = number
    return labels


def ids_of(head: str) -> np.ndarray:
    return np.stack([IDS] * CHOICES, axis=1) if head == "ForMultipleChoice" else IDS


CALLS: dict[str, UnusableCall] = {
    **{
        f"{head}, a label of {number}": UnusableCall(
            head,
            {"input_ids": ids_of(head), "labels": labels_of(shape, number)},
            f"labels holds {number}; this model takes 0 to {classes - 1}, or -100 for what is left out",
        )
        for head, (classes, shape) in CLASSES.items()
        for number in (-1, -99, classes, 10**6)
    },
    **{
        f"{head}, labels {value!r}": UnusableCall(
            head, {"input_ids": ids_of(head), "labels": value}, "labels must (be a tensor|hold numbers|be rectangular)"
        )
        for head in CLASSES
        for value in ("positive", ["positive"], [[1], [2, 3]], {"a": 1})
    },
    **{
        f"start_positions {value!r}": UnusableCall(
            "ForQuestionAnswering",
            {"input_ids": IDS, "start_positions": value, "end_positions": np.array([1])},
            "start_positions must (be a tensor|hold numbers)",
        )
        for value in ("first", ["first"])
    },
    **{
        f"input_ids {value!r}": UnusableCall(
            "", {"input_ids": value}, "input_ids must .*Texts go through a tokenizer|input_ids must be rectangular"
        )
        for value in ("a text", b"bytes", ["a", "b"], [["a"], ["b"]], {1}, [[1, 2], [3]])
    },
    **{
        f"{name} {value!r}": UnusableCall(
            "", {"input_ids": IDS, name: value}, f"{name} must (be a tensor|hold numbers|be rectangular)"
        )
        for name in ("attention_mask", "position_ids", "token_type_ids", "head_mask")
        for value in ("x", [["a"] * 4], [[1, 2], [3]])
    },
    "inputs_embeds 'x'": UnusableCall("", {"inputs_embeds": "x"}, "inputs_embeds must be a tensor"),
    **{
        f"no tokens, {head}": UnusableCall(head, {"input_ids": ids_of(head)[..., :0]}, "has no tokens")
        for head in ("ForSequenceClassification", "ForMultipleChoice")
    },
}
LISTS = {  # what a framework whose models take no lists says
    "labels": UnusableCall("ForSequenceClassification", {"input_ids": IDS, "labels": [1]}, "labels must be a tensor"),
    "labels of tokens": UnusableCall(
        "ForTokenClassification", {"input_ids": IDS, "labels": [[0, 1, 2, 3]]}, "labels must be a tensor"
    ),
    "positions": UnusableCall("", {"input_ids": IDS, "position_ids": [[0, 1, 2, 3]]}, "position_ids must be a tensor"),
    "heads": UnusableCall("", {"input_ids": IDS, "head_mask": [1, 1, 1]}, "head_mask must be a tensor"),
}


def check_refusal(call: UnusableCall, make_model: Callable[[str], Any], to_tensor: Callable[[Any], Any]) -> None:
    """Check that a call gets the error that says what to do, and nothing around it."""
    arguments = {
        name: to_tensor(value) if isinstance(value, np.ndarray) else value for name, value in call.arguments.items()
    }
    with pytest.raises(InputError, match=call.message) as caught:
        make_model(call.head)(**arguments)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def check_empty_batches(make_model: Callable[[str], Any], to_tensor: Callable[[Any], Any]) -> None:
    """Check that a batch of no sequences has an empty answer."""
    for head in ("", *CLASSES, "ForQuestionAnswering"):
        output = make_model(head)(to_tensor(ids_of(head)[:0]))
        assert all(value.shape[0] == 0 for value in output.values() if hasattr(value, "shape"))
    for head in ("", "ForTokenClassification", "ForMaskedLM", "ForQuestionAnswering"):
        output = make_model(head)(to_tensor(IDS[:, :0]))
        assert all(tuple(value.shape[:2]) == (1, 0) for value in output.values() if hasattr(value, "shape"))
