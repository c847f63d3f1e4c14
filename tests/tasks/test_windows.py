"""Fitting ids into a model: nothing lost, nothing too long, truncation as tokenizers do it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.tasks.scores import largest
from distilbert.tasks.windows import check_stride, split_into_windows, truncate, truncate_pair


class Ids:
    """Only the special tokens of a tokenizer."""

    cls_token_id = -1
    sep_token_id = -2
    model_max_length = 512
    truncation_side = "right"


TOKENIZER: Any = Ids()


@given(st.integers(1, 90), st.integers(8, 30), st.integers(0, 5))
def test_windows_hold_the_whole_text(length: int, max_tokens: int, stride: int) -> None:
    ids = list(range(length))
    windows = split_into_windows(TOKENIZER, ids, None, max_tokens=max_tokens, stride=stride)
    assert all(len(window) <= max_tokens and window[0] == -1 and window[-1] == -2 for window in windows)
    joined = windows[0][1:-1] + [i for window in windows[1:] for i in window[1 + stride : -1]]
    assert joined == ids


@given(st.integers(1, 60), st.integers(1, 60), st.integers(9, 30), st.integers(0, 9))
def test_windows_of_pairs_hold_the_longer_text(first: int, second: int, max_tokens: int, stride: int) -> None:
    a, b = list(range(first)), list(range(100, 100 + second))
    windows = split_into_windows(TOKENIZER, a, b, max_tokens=max_tokens, stride=stride)
    longer = a if first >= second else b
    shorter = b if first >= second else a
    for window in windows:
        assert len(window) <= max_tokens
        assert window.count(-2) == 2
        assert all(i in window for i in shorter[: (max_tokens - 3) // 2])
    assert set(longer) <= {i for window in windows for i in window}


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 30))
def test_trimmed_pairs_fill_the_room(first: int, second: int, room: int) -> None:
    for strategy in ("longest_first", "only_first", "only_second", True):
        a, b = truncate_pair([1] * first, [2] * second, room, strategy, "right")
        assert len(a) + len(b) == min(first + second, room)
        assert not second or b or strategy in ("longest_first", True, "only_second")


@pytest.mark.parametrize(
    ("first", "second", "room", "strategy", "kept"),
    [
        (10, 3, 8, "longest_first", (5, 3)),
        (10, 10, 9, "longest_first", (4, 5)),
        (11, 10, 9, "longest_first", (5, 4)),
        (10, 3, 8, "only_first", (5, 3)),
        (10, 30, 8, "only_first", (4, 4)),
        (5, 30, 8, "only_second", (5, 3)),
        (30, 5, 8, "only_second", (4, 4)),
    ],
)
def test_trimming_by_hand(first: int, second: int, room: int, strategy: str, kept: tuple[int, int]) -> None:
    a, b = list(range(first)), list(range(second))
    assert truncate_pair(a, b, room, strategy, "right") == (a[: kept[0]], b[: kept[1]])
    assert truncate_pair(a, b, room, strategy, "left") == (a[-kept[0] :], b[-kept[1] :])


def test_truncation_never_exceeds_the_model() -> None:
    assert len(truncate(TOKENIZER, [1] * 99, None, {"truncation": True}, 20)) == 20
    assert len(truncate(TOKENIZER, [1] * 99, [2] * 99, {"truncation": True, "max_length": 90}, 20)) == 20
    assert len(truncate(TOKENIZER, [1] * 99, [2] * 99, {"truncation": True, "max_length": 10}, 20)) == 10


def test_stride_must_leave_room() -> None:
    check_stride(61, 64)
    with pytest.raises(InputError, match="stride=62 is as long as a window, which holds 62 tokens"):
        check_stride(62, 64)
    with pytest.raises(InputError, match="stride"):
        check_stride(-1, 64)


@given(st.lists(st.integers(0, 6), min_size=1), st.integers(1, 12))
def test_largest(values: list[int], k: int) -> None:
    import numpy as np

    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:k]
    assert largest(np.array(values, np.float32), k) == expected
