"""The projection of masked language modelling, from hidden states to the vocabulary.

Legend: D dim, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ...core.config import DistilBertConfig
from .arrays import to_numpy
from .surgery import copy_rows, unlock


class VocabProjector(layers.Layer):
    """A linear map (..., D) -> (..., V) whose weight is the word embeddings where the configuration ties them."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.config = config
        self.tied = config.tie_word_embeddings

    def build(self, input_shape: Any = None) -> None:
        """Make the bias and, where it is not tied, the kernel (D, V)."""
        size = self.config.vocab_size
        if not self.tied:
            normal = keras.initializers.RandomNormal(stddev=self.config.initializer_range)
            self.kernel = self.add_weight(name="kernel", shape=(self.config.dim, size), initializer=normal)
        self.bias = self.add_weight(name="bias", shape=(size,), initializer="zeros")

    def call(self, hidden: Any, word_embeddings: Any) -> Any:
        """Project ``hidden`` (..., D), with ``word_embeddings`` (V, D) where tied."""
        if self.tied:
            return ops.einsum("...d,vd->...v", hidden, word_embeddings) + self.bias
        return ops.matmul(hidden, self.kernel) + self.bias

    def resize(self, size: int) -> None:
        """Give it ``size`` outputs, the first of them the old ones; ``config.vocab_size`` says so already."""
        kernel = None if self.tied else to_numpy(self.kernel.value)
        bias = to_numpy(self.bias.value)[:size]
        unlock(self, self.bias, *(() if self.tied else (self.kernel,)))
        self.built = False
        self.build()
        copy_rows(bias, self.bias)
        if kernel is not None:
            fresh = to_numpy(self.kernel.value).copy()
            width = min(size, kernel.shape[1])
            fresh[:, :width] = kernel[:, :width]
            self.kernel.assign(fresh)
