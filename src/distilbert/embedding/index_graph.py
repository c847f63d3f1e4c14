"""The graph of an approximate search: HNSW (arXiv 1603.09320) by the library ``usearch``.

It is for more vectors than an exact search answers in time. A graph names candidates; their scores are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.extras import require
from ..core.unique import sorted_unique

CANDIDATES = 4  # for each result: the nearest by exact scores are among them more often
LARGEST_SHARE = 1 / 64  # of the vectors; for more, a graph visits so many that all can be compared
BLOCK_PLACES = 1 << 24  # most positions that are in memory at once


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

    def candidates(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> list[np.ndarray | None]:
        """Return positions of vectors near each query, for ``k`` results.

        The vectors next to a query may be those that may not be found. So more and more are asked for, until enough of
        the others are among them.

        Args:
            queries: (Q, D).
            k: how many results are wanted.
            allowed: (N,) bool, the vectors that may be found; None for all.

        Returns:
            ``CANDIDATES * k`` for each query. None for a query near which there are so many others that it should be
            compared with all vectors.
        """
        enough = CANDIDATES * k
        results: list[np.ndarray | None] = [None] * len(queries)
        unanswered = list(range(len(queries)))
        count = min(len(self._graph), enough if allowed is None else 2 * enough)
        while unanswered:
            for number, places in zip(unanswered, self._nearest(queries[unanswered], count), strict=True):
                usable = places if allowed is None else places[allowed[places]]
                if len(usable) >= enough:
                    results[number] = sorted_unique(usable[:enough])
            unanswered = [number for number in unanswered if results[number] is None]
            count *= CANDIDATES
            if count > len(self._graph) * LARGEST_SHARE:
                break
        return results

    def _nearest(self, queries: np.ndarray, count: int) -> Iterator[np.ndarray]:
        """Yield the positions of up to ``count`` vectors near each query, the nearest first."""
        rows = max(1, BLOCK_PLACES // count)
        for start in range(0, len(queries), rows):
            matches = self._graph.search(queries[start : start + rows], count)
            for keys, number in zip(*_rows(matches), strict=True):
                yield keys[:number].astype(np.int64)

    def save(self, path: Path) -> None:
        """Write a file."""
        self._graph.save(str(path))


def _rows(matches: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (Q, C) and how many of each row count (Q,), also where there was a single query."""
    keys = np.atleast_2d(np.asarray(matches.keys))
    counts = getattr(matches, "counts", None)
    return keys, np.full(len(keys), keys.shape[1]) if counts is None else np.asarray(counts)
