"""Flax's layers as DistilBERT uses them: fresh weights, precisions and random numbers in one place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.schema import LAYER_NORM_EPS


class Fixed(nnx.Variable[Array]):
    """A weight that is saved and loaded, and not trained: ``nnx.grad`` and optimizers look for ``nnx.Param``."""


Weights = (nnx.Param, Fixed)


class Layers:
    """Makes the layers of one model.

    Args:
        config: says how fresh weights are drawn: normal with ``initializer_range``, biases zero.
        rngs: random numbers for weights and dropout.
        dtype: type that is computed in.
        param_dtype: type of the weights.
    """

    def __init__(self, config: DistilBertConfig, rngs: nnx.Rngs, dtype: Any, param_dtype: Any) -> None:
        self.rngs = rngs
        self.types: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.init = jax.nn.initializers.normal(config.initializer_range)

    def linear(self, in_features: int, out_features: int) -> nnx.Linear:
        """Return a linear map with bias; its kernel is (in, out)."""
        return nnx.Linear(in_features, out_features, kernel_init=self.init, rngs=self.rngs, **self.types)

    def embedding(self, rows: int, width: int, padding: int | None = None) -> nnx.Embed:
        """Return a table (rows, width); row ``padding`` starts as zeros."""

        def init(key: Any, shape: Any, dtype: Any) -> Array:
            table: Array = self.init(key, shape, dtype)
            return table if padding is None else table.at[padding].set(0)

        return nnx.Embed(rows, width, embedding_init=init, rngs=self.rngs, **self.types)

    def norm(self, width: int) -> nnx.LayerNorm:
        """Return a LayerNorm, with the variance computed in two passes as the other frameworks do."""
        return nnx.LayerNorm(width, epsilon=LAYER_NORM_EPS, use_fast_variance=False, rngs=self.rngs, **self.types)

    def dropout(self, rate: float) -> nnx.Dropout:
        """Return a dropout with random numbers of its own."""
        return nnx.Dropout(rate, rngs=self.rngs)


def sinusoidal_positions(positions: int, dim: int) -> np.ndarray:
    """Return (P, D) fixed positions: sine in even columns, cosine in odd ones (arXiv 1706.03762, section 3.5)."""
    columns = np.arange(dim)
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (columns // 2) / dim)[None, :]  # (P, D) radians
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)


def set_sinusoidal(embedding: Any) -> None:
    """Fill position embeddings with sines and cosines and keep them from being trained."""
    table = sinusoidal_positions(embedding.num_embeddings, embedding.features)
    embedding.embedding = Fixed(jnp.asarray(table, embedding.param_dtype))
