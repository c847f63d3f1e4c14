"""Parameters of any type, as requests to a server have them: each is taken, or refused by an error of ours."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.core.errors import DistilBertError
from distilbert.tasks.registry import TASKS

ATOMS = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    ATOMS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
PARAMETERS = [(name, parameter.name) for name, spec in TASKS.items() for parameter in spec.parameters]


@pytest.mark.parametrize(("task", "parameter"), PARAMETERS)
@given(value=JSON)
@settings(max_examples=60, deadline=None)
def test_any_value(task: str, parameter: str, value: Any) -> None:
    with suppress(DistilBertError, TypeError):  # the server says of both what was wrong
        TASKS[task].parameters_class(**{parameter: value})


@pytest.mark.parametrize(
    ("task", "name"), [("fill-mask", "tokenizer_kwargs"), ("feature-extraction", "tokenize_kwargs")]
)
@pytest.mark.parametrize("value", [[""], [[]], "abc", 5])
def test_arguments_of_the_tokenizer(task: str, name: str, value: Any) -> None:
    with pytest.raises(DistilBertError, match="must be a dict such as"):
        TASKS[task].parameters_class(**{name: value})
