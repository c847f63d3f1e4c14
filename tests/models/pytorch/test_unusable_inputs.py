"""Calls that no model can answer get one clear error; batches of nothing have empty answers."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from tests.models.unusable_inputs import CALLS, LISTS, check_empty_batches, check_refusal
from tests.tiny import tiny_model


@cache
def make_model(head: str) -> Any:
    return tiny_model(head)


def to_tensor(array: Any) -> Any:
    return torch.from_numpy(array.astype("int64"))


@pytest.mark.parametrize("name", CALLS)
def test_unusable_calls(name: str) -> None:
    check_refusal(CALLS[name], make_model, to_tensor)


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_no_tensors(name: str) -> None:
    check_refusal(LISTS[name], make_model, to_tensor)


def test_batches_of_nothing() -> None:
    check_empty_batches(make_model, to_tensor)
