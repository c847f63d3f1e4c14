"""What is added to an index, as lists and arrays: from tables, columns and tensors of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..tasks.columns import Column, to_inputs


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
        metadata = metadata.to_dict("records") if hasattr(metadata, "iloc") else list(to_inputs(metadata))
    return texts, ids, metadata


def to_vectors(vectors: Any, dim: int | None) -> np.ndarray:
    """Return vectors as (N, D) float32, contiguous.

    Raises:
        InputError: they are of another shape or type.
    """
    try:
        array = np.asarray(vectors.detach().cpu() if hasattr(vectors, "detach") else vectors)
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
