"""The graph of an approximate search: HNSW (arXiv 1603.09320) by the library ``usearch``.

It is for more vectors than an exact search answers in time. A graph names candidates; their scores are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.extras import require
from ..core.unique import sorted_unique

CANDIDATES = 4  # for each result: the nearest by exact scores are among them more often


class VectorGraph:
    """Positions of vectors, linked to those near them.

    Args:
        dim: numbers of a vector.
        path: file to open; None for an empty graph.

    Raises:
        MissingExtraError: ``usearch`` is not installed.
        DataError: the file is damaged.
    """

    def __init__(self, dim: int, path: Path | None = None) -> None:
        library = require("usearch.index", "search")
        self._graph: Any = library.Index(ndim=dim, metric="ip", dtype="f32", connectivity=16)
        if path is not None:
            try:
                self._graph.load(str(path))
            except (RuntimeError, ValueError, OSError) as error:
                raise DataError(f"{path} is damaged: {str(error)[:100]}") from None
            if self._graph.ndim != dim:
                raise DataError(f"{path} is damaged: its vectors have {self._graph.ndim} numbers instead of {dim}.")

    def __len__(self) -> int:
        return len(self._graph)

    def add(self, blocks: Iterable[np.ndarray]) -> None:
        """Add vectors, (N, D) in all, at the positions after those that are in it."""
        for block in blocks:
            first = len(self._graph)
            self._graph.add(np.arange(first, first + len(block), dtype=np.uint64), np.ascontiguousarray(block))

    def candidates(self, queries: np.ndarray, k: int) -> Sequence[np.ndarray]:
        """Return positions of vectors near each query, (Q, D): at least ``k`` where there are as many."""
        count = min(len(self._graph), CANDIDATES * k)
        if not count:
            return [np.empty(0, dtype=np.int64) for _ in queries]
        matches = self._graph.search(queries, count)
        return [sorted_unique(keys[:number]).astype(np.int64) for keys, number in zip(*_rows(matches), strict=True)]

    def save(self, path: Path) -> None:
        """Write a file."""
        self._graph.save(str(path))


def _rows(matches: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (Q, C) and how many of each row count (Q,), also where there was a single query."""
    keys = np.atleast_2d(np.asarray(matches.keys))
    counts = getattr(matches, "counts", None)
    return keys, np.full(len(keys), keys.shape[1]) if counts is None else np.asarray(counts)
