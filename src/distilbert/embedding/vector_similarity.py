"""How vectors are compared: each with each, or in pairs. Higher is more similar. Legend: D dim, n and m vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tasks.pooling import normalize

BLOCK = 1 << 24  # numbers that the distances of one block take

Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]


def to_array(vectors: Any) -> np.ndarray:
    """Return vectors of NumPy or of a framework, or a list of them, as an array; bfloat16 becomes float32."""
    if isinstance(vectors, list | tuple) and any(hasattr(vector, "detach") for vector in vectors):
        return np.stack([to_array(vector) for vector in vectors])
    if hasattr(vectors, "detach"):  # of PyTorch, whose bfloat16 NumPy does not know
        vectors = vectors.detach().cpu()
        vectors = vectors.float() if vectors.dtype.is_floating_point else vectors
    array: np.ndarray = np.asarray(vectors)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the dot products (n, m) of (n, D) and (m, D)."""
    result: np.ndarray = a @ b.T
    return result


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosines (n, m)."""
    return dot(normalize(a), normalize(b))


def euclidean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distances (n, m), negated."""
    squares = (a * a).sum(axis=1)[:, None] - 2 * dot(a, b) + (b * b).sum(axis=1)
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return -distances


def manhattan(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the sums of absolute differences (n, m), negated."""
    rows = max(1, BLOCK // max(1, b.size))
    blocks = [-np.abs(a[i : i + rows, None] - b[None]).sum(axis=2) for i in range(0, len(a), rows)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(b)), a.dtype)


SIMILARITIES: dict[str, Compare] = {"cosine": cosine, "dot": dot, "euclidean": euclidean, "manhattan": manhattan}


def compare_pairs(similarity: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the similarities (n,) of the rows of (n, D) and (n, D); ``similarity`` is one of ``SIMILARITIES``."""
    if similarity == "cosine":
        a, b = normalize(a), normalize(b)
    result: np.ndarray
    if similarity in ("cosine", "dot"):
        result = (a * b).sum(axis=1)
    elif similarity == "euclidean":
        result = -np.linalg.norm(a - b, axis=1)
    else:
        result = -np.abs(a - b).sum(axis=1)
    return result
