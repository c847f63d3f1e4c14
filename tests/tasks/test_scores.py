"""Scores of a few labels in Python are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.tasks.scores import largest, sigmoid, sigmoid_of_few, softmax, softmax_of_few

LOGITS = st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=40)
FEW_VALUES = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=40)


@given(LOGITS | FEW_VALUES)
def test_functions(logits: list[float]) -> None:
    array = np.array(logits, np.float32)
    assert softmax_of_few(logits) == pytest.approx(softmax(array).tolist(), rel=1e-5, abs=1e-30)
    assert sigmoid_of_few(logits) == pytest.approx(sigmoid(array).tolist(), rel=1e-5, abs=1e-6)
    assert sum(softmax_of_few(logits)) == pytest.approx(1)


@given(LOGITS | FEW_VALUES, st.integers(1, 50))
def test_the_largest(scores: list[float], k: int) -> None:
    assert largest(scores, k) == largest(np.array(scores, np.float32), k)
