"""Distinct numbers of an array."""

from __future__ import annotations

import numpy as np


def sorted_unique(numbers: np.ndarray) -> np.ndarray:
    """Return the distinct numbers of a one-dimensional array of integers, in order.

    It is ``np.unique`` without its import of ``numpy.ma``, which takes 7 MB, and longer than a batch.
    """
    ordered = np.sort(numbers)
    differs = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return ordered[differs]
