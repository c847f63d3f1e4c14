"""Checks of arrays at the border to the kernels, which trust every address and every size that they are given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import InputError


def check_array(name: str, array: np.ndarray, dtype: np.dtype[Any], shape: tuple[int | None, ...]) -> np.ndarray:
    """Check one array, and return it.

    Args:
        name: of the array, for the message.
        array: what is checked.
        dtype: that it must have.
        shape: that it must have; None fits every size.

    Raises:
        InputError: it has another type or shape, or its rows do not lie one after the other in memory.
    """
    actual = array.shape
    fits = actual == shape or (
        len(actual) == len(shape)
        and not [0 for size, own in zip(shape, actual, strict=True) if size != own and size is not None]
    )
    if array.dtype != dtype or not fits or not array.flags.c_contiguous:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        layout = "" if array.flags.c_contiguous else ", not contiguous"
        raise InputError(
            f"{name} must be contiguous {dtype} of shape ({expected}), got {array.dtype} {actual}{layout}."
        )
    return array


def check_rows(name: str, array: np.ndarray, dtype: np.dtype[Any], rows: int, columns: int) -> int:
    """Check an array of rows that may have a stride, and return the number of elements from one row to the next.

    Raises:
        InputError: it has another type or shape, or the numbers of a row do not lie side by side.
    """
    side_by_side = array.ndim == 2 and (columns <= 1 or array.strides[1] == array.itemsize)
    stride, rest = divmod(array.strides[0], array.itemsize) if array.ndim == 2 else (0, 0)
    in_order = rows <= 1 or (stride >= columns and not rest)
    if array.dtype != dtype or array.shape != (rows, columns) or (rows and not (side_by_side and in_order)):
        raise InputError(
            f"{name} must be {dtype} rows of shape ({rows}, {columns}), got {array.dtype} {array.shape} with strides "
            f"of {array.strides} bytes."
        )
    return stride if rows > 1 else columns


def check_indices(name: str, indices: np.ndarray, rows: int, count: int | None = None) -> np.ndarray:
    """Check indices (T,) into a table of so many rows, and return them.

    Raises:
        InputError: they are not contiguous int64, there are not ``count`` of them, or one is outside the table.
    """
    check_array(name, indices, np.dtype(np.int64), (count,))
    if len(indices):
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= rows:
            raise InputError(f"{name} run from {low} to {high}; the table has rows 0 to {rows - 1}.")
    return indices
