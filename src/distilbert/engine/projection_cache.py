"""Queries, keys and values of the first block, cached by word instead of multiplied anew for each token.

The input of the first block is ``LayerNorm(w + p)``, of a word's embedding and a position's. LayerNorm subtracts the
mean of the row, divides by its deviation, multiplies by a weight ``g`` and adds a bias ``c``. All but the division is
linear, so the projection with weight ``W`` and bias ``b`` is::

    W LayerNorm(w + p) + b = (G w + G p) / deviation(w + p) + (W c + b)

``G w`` is ``W`` times ``g (w - mean(w))``, by the product of the block itself without its bias. It is computed when a
word is first seen, and ``G p`` for all positions when the cache is first used.

Legend: T packed tokens, D dim, V vocabulary, P positions, W attention width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..core.forks import ForkSafeLock
from ..core.unique import sorted_unique
from .operations import FP32, Contributions, EmbeddingWeights
from .products import LinearMap

MOST_BYTES = 32 << 20  # of projections of words, and no more than a third of the embeddings have
MIN_TOKENS = 1024  # smallest batch for which the cache pays: most words of a single text are new to it


class _Cached(NamedTuple):
    """What is kept.

    Attributes:
        slots: (V,) word id -> row of ``words``; -1: not computed yet.
        words: (rows, 3 W).
        positions: (P, 3 W).
        bias: (3 W,).
    """

    slots: np.ndarray
    words: np.ndarray
    positions: np.ndarray
    bias: np.ndarray


class ProjectionCache:
    """Embeddings with LayerNorm, and the projections of the first block.

    Several threads may call it. A cache that is full is emptied. Its length is the number of words in it. It takes no
    memory until it is first used.

    Args:
        embeddings: of the model, in the type to compute in.
        project: the projection of the first block to queries, keys and values, in floats: (T, D) -> (T, 3 W).
    """

    def __init__(self, embeddings: EmbeddingWeights, project: LinearMap) -> None:
        self._embeddings, self._operations = embeddings, project.operations
        product = project.product
        self._outputs, self._bias = product.outputs, product.bias
        self._project = LinearMap(replace(product, bias=np.zeros_like(product.bias)), None, project.operations)
        self._lock, self._filled = ForkSafeLock(), 0
        self._cached: _Cached | None = None

    def __len__(self) -> int:
        return self._filled

    def __call__(self, input_ids: np.ndarray, position_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute hidden states (T, D) and projections (T, 3 W) of ids (T,) int64 at positions (T,) int64."""
        with self._lock:
            slots, cached = self._find(input_ids)
            contributions = Contributions(cached.words, cached.positions, cached.bias)
        return self._operations.embed_project(input_ids, position_ids, self._embeddings, slots, contributions)

    def _find(self, ids: np.ndarray) -> tuple[np.ndarray, _Cached]:
        """Return the row of each id in the cache, and the cache; words that are missing are computed first."""
        cached = self._cached or self._empty(0)
        slots: np.ndarray = cached.slots[ids]
        missing = slots < 0
        if not missing.any():
            return slots, cached
        new = sorted_unique(ids[missing])
        if self._filled + len(new) > len(cached.words):
            new = sorted_unique(ids)
            cached = self._empty(len(new))
        end = self._filled + len(new)
        cached.words[self._filled : end] = self._contributions(self._embeddings.words[new])
        cached.slots[new] = np.arange(self._filled, end)
        self._filled = end
        return cached.slots[ids], cached

    def _contributions(self, embeddings: np.ndarray) -> np.ndarray:
        """Return what rows of embeddings (R, D) add to the projections, (R, 3 W)."""
        rows = embeddings.astype(np.float32)
        rows -= rows.mean(axis=1, keepdims=True)
        rows *= self._embeddings.norm.weight
        return self._project(rows.astype(embeddings.dtype, copy=False))

    def _empty(self, minimum: int) -> _Cached:
        """Begin an empty cache for at least ``minimum`` words; another thread may still read the old arrays."""
        dtype, vocabulary = self._embeddings.words.dtype, len(self._embeddings.words)
        most_bytes = min(MOST_BYTES, self._embeddings.words.nbytes // 3)
        rows = min(vocabulary, max(1, most_bytes // (self._outputs * dtype.itemsize)))
        if self._cached is None:
            positions = self._contributions(self._embeddings.positions)
            in_fp32 = LinearMap(replace(self._project.product, result_dtype=FP32), None, self._operations)
            shift = self._embeddings.norm.bias.astype(dtype)[None]
            bias = np.ascontiguousarray(in_fp32(shift)[0] + self._bias)
        else:
            positions, bias = self._cached.positions, self._cached.bias
        words = np.empty((max(minimum, rows), self._outputs), dtype)
        self._cached, self._filled = _Cached(np.full(vocabulary, -1, np.int64), words, positions, bias), 0
        return self._cached
