"""Queries, keys and values of the first block, cached by word instead of multiplied anew for each token.

The input of the first block is ``LayerNorm(w + p)``, of a word's embedding and a position's. LayerNorm subtracts the
mean of the row, divides by its deviation, multiplies by a weight ``g`` and adds a bias ``c``. All but the division is
linear, so the projection with weight ``W`` and bias ``b`` is::

    W LayerNorm(w + p) + b = (G w + G p) / deviation(w + p) + (W c + b)

``G`` is ``W * g`` less the mean of each of its rows, which subtracts the mean of ``w + p``. ``G w`` is computed when a
word is first seen, and ``G p`` once for every position.

Legend: T packed tokens, D dim, V vocabulary, P positions, W attention width.
"""

from __future__ import annotations

import numpy as np

from ..core.forks import ForkSafeLock
from .operations import Contributions, EmbeddingWeights, Operations
from .products import float_map

CAPACITY = 8192  # words to keep
MIN_TOKENS = 1024  # smallest batch for which the cache pays: most words of a single text are new to it


class ProjectionCache:
    """Embeddings with LayerNorm, and the projections of the first block.

    Several threads may call it. A cache that is full is emptied. Its length is the number of words in it.

    Args:
        embeddings: of the model, in the type to compute in.
        weight: (3 W, D) of queries, keys and values.
        bias: (3 W,).
        operations: what computes.
    """

    def __init__(
        self, embeddings: EmbeddingWeights, weight: np.ndarray, bias: np.ndarray, operations: Operations
    ) -> None:
        self._embeddings, self._operations = embeddings, operations
        norm = embeddings.norm
        scaled = weight * norm.weight
        scaled -= scaled.mean(axis=1, keepdims=True)
        self._project = float_map(scaled, np.zeros(len(weight), np.float32), embeddings.words.dtype, operations)
        self._bias = np.ascontiguousarray((weight * norm.bias).sum(axis=1) + bias, np.float32)
        self._positions = self._project(embeddings.positions)  # (P, 3 W)
        self._lock, self._filled = ForkSafeLock(), 0
        self._clear()

    def __len__(self) -> int:
        return self._filled

    def __call__(self, input_ids: np.ndarray, position_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute hidden states (T, D) and projections (T, 3 W) of ids (T,) int64 at positions (T,) int64."""
        with self._lock:
            slots = self._slots_of(input_ids)
            contributions = Contributions(self._words, self._positions, self._bias)
        return self._operations.embed_project(input_ids, position_ids, self._embeddings, slots, contributions)

    def _slots_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the row of each id in the cache; words that are missing are computed first."""
        slots: np.ndarray = self._slots[ids]
        missing = slots < 0
        if not missing.any():
            return slots
        new = np.unique(ids[missing])
        if self._filled + len(new) > len(self._words):
            new = np.unique(ids)
            self._clear(len(new))
        end = self._filled + len(new)
        self._words[self._filled : end] = self._project(self._embeddings.words[new])
        self._slots[new] = np.arange(self._filled, end)
        self._filled = end
        return self._slots[ids]

    def _clear(self, minimum: int = 0) -> None:
        """Begin an empty cache for at least ``minimum`` words; another thread may still read the old arrays."""
        vocabulary = len(self._embeddings.words)
        self._slots = np.full(vocabulary, -1, np.int64)  # word id -> row of _words; -1: not computed yet
        rows = max(minimum, min(vocabulary, CAPACITY))
        self._words = np.empty((rows, len(self._bias)), self._positions.dtype)
        self._filled = 0
