"""The nearest vectors, found exactly, by blocks.

A matrix product in float32 names the candidates, and only these are computed again in float64. How far the float32
product of two vectors of D numbers can be off is known, whatever the order of its sums, with or without fused
additions: ``D u / (1 - D u) |x| |y|`` with ``u = 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.1). So every vector that could be among the nearest is a candidate, and the result is that of float64 over all
vectors.

Legend: Q queries, N vectors, D numbers of a vector, R vectors of a block, K results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..core.errors import DataError
from ..core.unique import sorted_unique

BLOCK_ROWS = 1 << 16  # vectors of a block: many, so that one product has both threads of the BLAS busy
BLOCK_SCORES = 1 << 24  # most scores of a block, 64 MB, which Q x R is kept under
QUERIES = 256  # that are answered together


class Nearest(NamedTuple):
    """The nearest vectors of one query, the nearest first; of equal ones, the first added comes first.

    Attributes:
        positions: which vectors, (K,) int64.
        scores: their products with the query, (K,) float64.
    """

    positions: np.ndarray
    scores: np.ndarray


def nearest(
    blocks: Sequence[np.ndarray], queries: np.ndarray, k: int, largest_norm: float, allowed: np.ndarray | None = None
) -> list[Nearest]:
    """Return the ``k`` vectors with the largest products for each query.

    Args:
        blocks: the vectors, (N, D) in all, float32, one array behind the other.
        queries: (Q, D) float32.
        k: how many; fewer come back where there are fewer.
        largest_norm: no vector is longer than this.
        allowed: (N,) bool, the vectors that may be found; None for all.

    Raises:
        DataError: a vector holds a number that is not finite.
    """
    found: list[Nearest] = []
    for start in range(0, len(queries), QUERIES):
        found += _nearest(blocks, queries[start : start + QUERIES], k, largest_norm, allowed)
    return found


def product_error(queries: np.ndarray, largest_norm: float) -> np.ndarray:
    """Return how far a float32 product with each query can be from the exact one: (Q,) float64."""
    unit = queries.shape[1] * 2.0**-24
    norms = np.linalg.norm(queries.astype(np.float64), axis=1)
    # Numbers too small for float32 are lost as well: each product and each sum loses at most the smallest of them.
    return np.asarray(unit / (1 - unit) * norms * largest_norm + 2 * queries.shape[1] * 2.0**-126)


def _nearest(
    blocks: Sequence[np.ndarray], queries: np.ndarray, k: int, largest_norm: float, allowed: np.ndarray | None
) -> list[Nearest]:
    count = len(queries)
    margin = 2 * product_error(queries, largest_norm)  # (Q,): of two products, both can be off
    least = np.full(count, -np.inf)  # (Q,): what a float32 score needs to be among the k best so far
    kept_rows = [np.empty(0, dtype=np.int64)] * count
    kept_scores = [np.empty(0, dtype=np.float32)] * count
    for start, block in _pieces(blocks, count):
        with np.errstate(all="ignore"):  # of a damaged file, which the next lines refuse
            scores = (block @ queries[0])[None] if count == 1 else queries @ block.T  # (Q, R)
        if not np.isfinite(scores.sum(dtype=np.float64)):
            raise DataError("The index holds numbers that are not finite, so it is damaged: build it again.")
        if allowed is not None:
            scores = np.where(allowed[start : start + len(block)], scores, np.float32(-np.inf))
        for query in range(count):
            row = scores[query]
            if least[query] == -np.inf and len(row) > 4 * k:
                least[query] = np.partition(row, len(row) - k)[len(row) - k] - margin[query]
            places = np.flatnonzero(row >= least[query])
            if allowed is not None:
                places = places[allowed[start + places]]
            rows = np.concatenate([kept_rows[query], start + places])
            values = np.concatenate([kept_scores[query], row[places]])
            if len(values) > k:
                least[query] = np.partition(values, len(values) - k)[len(values) - k] - margin[query]
                rows, values = rows[values >= least[query]], values[values >= least[query]]
            kept_rows[query], kept_scores[query] = rows, values
    return [ranked(blocks, rows, queries[query], k) for query, rows in enumerate(kept_rows)]


def ranked(blocks: Sequence[np.ndarray], positions: np.ndarray, query: np.ndarray, k: int) -> Nearest:
    """Return the ``k`` nearest of the vectors at ``positions``, by products in float64."""
    if not len(positions):
        return Nearest(np.empty(0, dtype=np.int64), np.empty(0))
    exact = rows_of(blocks, positions).astype(np.float64) @ query.astype(np.float64)
    order = np.lexsort((positions, -exact))[:k]
    return Nearest(positions[order], exact[order])


def rows_of(blocks: Sequence[np.ndarray], positions: np.ndarray) -> np.ndarray:
    """Return the vectors at ``positions`` of all blocks together, (P, D)."""
    ends = np.cumsum([len(block) for block in blocks])
    of_block = np.searchsorted(ends, positions, side="right")
    rows = np.empty((len(positions), blocks[0].shape[1]), dtype=np.float32)
    for number in sorted_unique(of_block):
        chosen = of_block == number
        rows[chosen] = blocks[number][positions[chosen] - (ends[number] - len(blocks[number]))]
    return rows


def _pieces(blocks: Sequence[np.ndarray], queries: int) -> list[tuple[int, np.ndarray]]:
    """Return slices of the blocks that are multiplied at once, each with the position of its first vector."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_SCORES // queries))
    pieces: list[tuple[int, np.ndarray]] = []
    before = 0
    for block in blocks:
        pieces += [(before + start, block[start : start + rows]) for start in range(0, len(block), rows)]
        before += len(block)
    return pieces
