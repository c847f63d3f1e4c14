"""Distinct numbers, as NumPy has them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from distilbert.core.unique import sorted_unique


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_equal_to_numpy(dtype: type) -> None:
    @given(arrays(dtype, (50,)))
    def check(numbers: np.ndarray) -> None:
        for length in (0, 1, 2, 50):
            found, expected = sorted_unique(numbers[:length]), np.unique(numbers[:length])
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)

    check()
