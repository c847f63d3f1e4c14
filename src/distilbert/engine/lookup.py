"""The projections of the first block, looked up instead of multiplied.

What the first block projects is ``LayerNorm(word + position)``, and LayerNorm is linear but for one factor of a row:
``W LayerNorm(w + p) + b = (G (w - mean w) + G (p - mean p)) * factor + (W shift + b)`` with ``G = W * gain``. So what a
word contributes is computed when it is seen for the first time, and what a position contributes once for all.

Legend: T packed tokens, D dim, V words of the vocabulary, P positions, W attention width.
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from .operations import Contributions, Embeddings, Operations
from .products import float_product

CAPACITY = 8192  # words whose contributions are kept


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
        self._product = float_product(
            weight * norm.gain, torch.zeros(len(weight)), embeddings.words.dtype, "", operations
        )
        self._shift = (weight @ norm.shift + bias.float()).contiguous()
        self._positions = self._contribution(embeddings.positions)
        self._lock = threading.Lock()
        self._filled = 0
        self._clear()

    def __call__(self, ids: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and places (T,) int64 -> hidden states (T, D) and projections (T, 3 W)."""
        with self._lock:
            slots = self._slots[ids]
            if (slots < 0).any():
                self._learn(ids)
                slots = self._slots[ids]
            parts = Contributions(self._words, self._positions, self._shift)
        return self._operations.embed_project(ids, places, self._embeddings, slots, parts)

    def _learn(self, ids: Tensor) -> None:
        """Compute what is missing for ``ids``."""
        words = ids.unique()
        new = words[self._slots[words] < 0]
        if self._filled + len(new) > len(self._words):
            self._clear(len(words))
            new = words
        end = self._filled + len(new)
        self._words[self._filled : end] = self._contribution(self._embeddings.words[new])
        self._slots[new] = torch.arange(self._filled, end)
        self._filled = end

    def _clear(self, least: int = 0) -> None:
        """Begin an empty table; another thread may still read the old one."""
        vocabulary = len(self._embeddings.words)
        self._slots = torch.full((vocabulary,), -1)
        self._words = self._positions.new_empty(max(least, min(vocabulary, CAPACITY)), len(self._shift))
        self._filled = 0

    def _contribution(self, vectors: Tensor) -> Tensor:
        """(N, D) -> (N, 3 W)."""
        vectors = vectors.float()
        return self._product((vectors - vectors.mean(dim=1, keepdim=True)).to(self._embeddings.words.dtype))
