"""The projections of the first block, looked up instead of multiplied.

What the first block projects is ``LayerNorm(word + position)``, and LayerNorm is linear but for one factor of a row:
``W LayerNorm(w + p) + b = (G w + G p) * factor + (W shift + b)``. ``G`` is ``W * gain`` less the mean of each of its
rows, which takes away the means of ``w`` and ``p``. So what a word contributes is computed when it is seen for the
first time, and what a position contributes once for all.

Legend: T packed tokens, D dim, V words of the vocabulary, P positions, W attention width.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from .operations import Contributions, Embeddings, Operations
from .products import float_product

CAPACITY = 8192  # words whose contributions are kept
MANY = 1024  # tokens from which this pays; words of a single text are often new


class FirstProjections:
    """Embeddings with LayerNorm, and queries, keys and values of the first block.

    Safe to call from several threads. A full table is begun anew.

    Args:
        embeddings: of the model, in the type to compute in.
        weight: (3 W, D) of queries, keys and values.
        bias: (3 W,).
        operations: what computes.
    """

    def __init__(self, embeddings: Embeddings, weight: Tensor, bias: Tensor, operations: Operations) -> None:
        self._embeddings, self._operations = embeddings, operations
        norm = embeddings.norm
        weight = weight.float()
        scaled = weight * norm.gain
        scaled = scaled - scaled.mean(dim=1, keepdim=True)
        self._product = float_product(scaled, torch.zeros(len(weight)), embeddings.words.dtype, "", operations)
        self._shift = (weight @ norm.shift + bias.float()).contiguous()
        self._positions = self._product(embeddings.positions)
        self._lock, self._filled = threading.Lock(), 0
        self._clear()

    def __call__(self, ids: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and places (T,) int64 -> hidden states (T, D) and projections (T, 3 W)."""
        with self._lock:
            slots = self._find(ids.numpy())
            parts = Contributions(self._words, self._positions, self._shift)
        return self._operations.embed_project(ids, places, self._embeddings, torch.from_numpy(slots), parts)

    def _find(self, ids: np.ndarray) -> np.ndarray:
        """Return where the contributions of ``ids`` are; what is missing is computed."""
        slots: np.ndarray = self._slots[ids]
        missing = slots < 0
        if not missing.any():
            return slots
        new = np.unique(ids[missing])
        if self._filled + len(new) > len(self._words):
            new = np.unique(ids)
            self._clear(len(new))
        end = self._filled + len(new)
        self._words[self._filled : end] = self._product(self._embeddings.words[torch.from_numpy(new)])
        self._slots[new] = np.arange(self._filled, end)
        self._filled = end
        return self._slots[ids]

    def _clear(self, least: int = 0) -> None:
        """Begin an empty table; another thread may still read the old one."""
        vocabulary = len(self._embeddings.words)
        self._slots = np.full(vocabulary, -1)
        self._words = self._positions.new_empty(max(least, min(vocabulary, CAPACITY)), len(self._shift))
        self._filled = 0
