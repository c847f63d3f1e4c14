"""What is added to an index, as lists and arrays: from tables, columns and tensors of other libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..tasks.columns import Column, to_inputs
from .vector_similarity import to_array


def from_table(texts: Any, column: Column | None, ids: Any, metadata: Any) -> tuple[Any, Any, Any]:
    """Return texts, ids and metadata as lists; with ``column`` they are columns of the table ``texts``."""
    table = texts
    if column is not None:
        if isinstance(ids, str):
            ids = to_inputs(table, ids)
        if isinstance(metadata, list) and metadata and all(isinstance(name, str) for name in metadata):
            metadata = to_inputs(table, metadata)
    if isinstance(texts, str):
        raise InputError("texts is one text: give a list.")
    if texts is not None:
        texts = list(to_inputs(table, column))
    ids = None if ids is None else list(to_inputs(ids))
    if isinstance(metadata, Mapping):
        raise InputError("metadata must be a list with a dict for each entry, got a dict.")
    if metadata is not None and not isinstance(metadata, list | tuple):
        metadata = _rows(metadata)
    return texts, ids, metadata


def _rows(table: Any) -> list[Any]:
    """Return the rows of a table, or the values of a column, which are dicts."""
    for method in ("to_pylist", "to_dicts"):  # of Arrow, of polars
        if hasattr(table, method):
            return list(getattr(table, method)())
    return list(table.to_dict("records") if hasattr(table, "iloc") and table.ndim == 2 else to_inputs(table))


def to_queries(queries: Any, column: Column | None, dim: int) -> tuple[list[Any] | np.ndarray, bool]:
    """Return queries as a list of texts or as vectors (Q, D), and whether it was a single one.

    Args:
        queries: a text or several, in any form that :func:`to_inputs` takes, or vectors as in :func:`to_vectors`; a
            vector (D,) is a single query.
        column: as in :func:`to_inputs`.
        dim: D.

    Raises:
        InputError: they are neither.
    """
    kind = getattr(getattr(queries, "dtype", None), "kind", "")  # of NumPy; "U" and "O" are texts
    is_matrix = hasattr(queries, "dtype") and _dimensions(queries) == 2 and kind not in ("U", "O")
    if column is not None or not is_matrix:
        queries = to_inputs(queries, column)
    if isinstance(queries, str):
        return [queries], True
    queries = list(queries) if isinstance(queries, Iterator) else queries
    if isinstance(queries, list | tuple) and queries and isinstance(queries[0], str):
        return list(queries), False
    is_single = _dimensions(queries) == 1 and len(queries) > 0
    return to_vectors([queries] if is_single else queries, dim), is_single


def _dimensions(values: Any) -> int:
    """Return how many dimensions an array has, or a list as far as its first values tell."""
    if isinstance(values, list | tuple):
        return 1 + _dimensions(values[0]) if values else 1
    return int(getattr(values, "ndim", 0))


def to_vectors(vectors: Any, dim: int | None) -> np.ndarray:
    """Return vectors as (N, D) float32, contiguous.

    Raises:
        InputError: they are of another shape or type.
    """
    try:
        array = to_array(vectors)
        if array.dtype == object:
            array = array.astype(np.float32)
    except (ValueError, TypeError):
        raise InputError("vectors must be numbers, the same number of them in each.") from None
    if array.ndim == 2 and array.dtype.kind in "fiu" and array.shape[1] == (dim or array.shape[1]) and array.shape[1]:
        with np.errstate(over="ignore"):  # what is too large for float32 is refused with what is not finite
            return np.ascontiguousarray(array, dtype=np.float32)
    if array.size == 0 and dim:
        return np.empty((0, dim), dtype=np.float32)
    expected = f"(N, {dim})" if dim else "(N, D)"
    raise InputError(f"vectors must be numbers of shape {expected}, got {array.dtype} of shape {array.shape}.")


def to_int(value: Any) -> int | None:
    """Return the whole number that a value stands for; None if it stands for none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
