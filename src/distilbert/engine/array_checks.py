"""Checks of arrays at the border to the kernels, which trust every address and every size that they are given."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError


def check_array(name: str, array: Any, dtype: Any, shape: tuple[int | None, ...]) -> Any:
    """Check one array, and return it.

    Args:
        name: of the array, for the message.
        array: has ``dtype``, ``shape`` and ``is_contiguous()``.
        dtype: that it must have.
        shape: that it must have; None fits every size.

    Raises:
        InputError: it has another type or shape, or its rows do not lie one after the other in memory.
    """
    actual = tuple(array.shape)
    fits = actual == shape or (
        len(actual) == len(shape) and all(size in (None, own) for size, own in zip(shape, actual, strict=True))
    )
    if array.dtype != dtype or not fits or not array.is_contiguous():
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        layout = "" if array.is_contiguous() else ", not contiguous"
        raise InputError(f"{name} must be contiguous {dtype} of shape ({wanted}), got {array.dtype} {actual}{layout}.")
    return array


def check_rows(name: str, array: Any, dtype: Any, rows: int, columns: int) -> Any:
    """Check an array of rows that may have a stride, and return it.

    Raises:
        InputError: it has another type or shape, or the numbers of a row do not lie side by side.
    """
    shape = tuple(array.shape)
    if array.dtype != dtype or shape != (rows, columns) or (rows and array.stride(1) != 1 and columns > 1):
        raise InputError(
            f"{name} must be {dtype} rows of shape ({rows}, {columns}), got {array.dtype} {shape} with strides "
            f"{tuple(array.stride())}."
        )
    return array


def check_indices(name: str, indices: Any, rows: int, count: int | None = None) -> Any:
    """Check indices (T,) into a table of so many rows, and return them.

    Raises:
        InputError: they are not contiguous int64, there are not ``count`` of them, or one is outside the table.
    """
    if str(indices.dtype) not in ("torch.int64", "int64"):
        raise InputError(f"{name} must be int64, got {indices.dtype}.")
    check_array(name, indices, indices.dtype, (count,))
    if len(indices):
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= rows:
            raise InputError(f"{name} run from {low} to {high}; the table has rows 0 to {rows - 1}.")
    return indices
