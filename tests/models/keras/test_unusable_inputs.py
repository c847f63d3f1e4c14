"""Calls that no model can answer get one clear error; batches of nothing have empty answers."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from keras import ops

from tests.models.unusable_inputs import CALLS, check_empty_batches, check_refusal

from .twins import tiny_keras


@cache
def make_model(head: str) -> Any:
    return tiny_keras(head)


def to_tensor(array: Any) -> Any:
    return ops.convert_to_tensor(array)


@pytest.mark.parametrize("name", CALLS)
def test_unusable_calls(name: str) -> None:
    check_refusal(CALLS[name], make_model, to_tensor)


def test_batches_of_nothing() -> None:
    check_empty_batches(make_model, to_tensor)
