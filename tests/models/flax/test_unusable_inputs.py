"""Calls that no model can answer get one clear error; batches of nothing have empty answers."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import pytest

from tests.models.unusable_inputs import CALLS, check_empty_batches, check_refusal

from .tiny import flax_model


@cache
def make_model(head: str) -> Any:
    return flax_model(head)


def to_tensor(array: Any) -> Any:
    return jnp.asarray(array)


@pytest.mark.parametrize("name", CALLS)
def test_unusable_calls(name: str) -> None:
    check_refusal(CALLS[name], make_model, to_tensor)


def test_batches_of_nothing() -> None:
    check_empty_batches(make_model, to_tensor)
