"""From hidden states to vectors: windows joined, tokens pooled, lengths scaled."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.tasks.pooling import POOLINGS, join_windows, normalize, pool, pool_packed
from distilbert.tasks.scores import sigmoid, softmax
from distilbert.text.truncation import window_spans


@given(st.integers(1, 60), st.integers(2, 15), st.data())
def test_joined_windows_have_every_token_once(length: int, room: int, data: Any) -> None:
    stride = data.draw(st.integers(0, room - 1))
    text = np.arange(length)
    windows = [np.array([-1, *text[a:b], -2])[:, None] for a, b in window_spans(length, room, stride)]
    assert join_windows(windows, stride)[:, 0].tolist() == [-1, *range(length), -2]


def test_a_shared_token_comes_from_where_it_is_farther_from_the_edge() -> None:
    first, second = np.zeros((8, 1)), np.ones((8, 1))  # 6 tokens each, 4 of them shared
    assert join_windows([first, second], 4)[:, 0].tolist() == [0] * 5 + [1] * 5


def test_pooling_by_hand() -> None:
    states = np.array([[1.0, 0], [3, 4]])
    assert pool([states], "mean", 0).tolist() == [2, 2]
    assert pool([states], "cls", 0).tolist() == [1, 0]
    assert pool([states, np.array([[4.0, 3]] * 6)], "cls", 0).tolist() == [3.25, 2.25]
    assert normalize(np.array([[3.0, 4], [0, 0]])).tolist() == [[0.6, 0.8], [0, 0]]


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e20, 3e38])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_of_any_size_keep_their_direction(pooling: str, size: float) -> None:
    states = np.random.default_rng(0).uniform(0.5, 1, (9, 4)).astype(np.float32)
    pooled = pool([states * np.float32(size)], pooling, 0)
    assert np.isfinite(pooled).all()
    np.testing.assert_allclose(normalize(pooled), normalize(pool([states], pooling, 0)), rtol=1e-5)


@pytest.mark.parametrize("size", [1e20, 3e38])
def test_large_logits_have_probabilities(size: float) -> None:
    logits = np.array([size, -size, size / 2], np.float32)
    assert softmax(logits).tolist() == [1, 0, 0]
    assert sigmoid(logits).tolist() == [1, 0, 1]


@pytest.mark.parametrize("pooling", POOLINGS)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_packed_pooling_equals_pooling_one_by_one(pooling: str, lengths: list[int]) -> None:
    hidden = np.random.default_rng(sum(lengths)).standard_normal((sum(lengths), 4)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    expected = [pool([hidden[a:b]], pooling, 0) for a, b in itertools.pairwise(offsets)]
    np.testing.assert_allclose(pool_packed(hidden, offsets, pooling), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_packed_sums_that_do_not_fit(pooling: str) -> None:
    hidden = np.full((9, 4), 3e38, np.float32)
    assert np.isfinite(pool_packed(hidden, np.array([0, 4, 9]), pooling)).all()
