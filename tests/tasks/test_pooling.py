"""From hidden states to vectors: windows joined, tokens pooled, lengths scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from distilbert.tasks.pooling import join_windows, normalize, pool
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
