"""Flax's layers as DistilBERT uses them: fresh weights, precisions and random numbers in one place."""

from __future__ import annotations

from typing import Any

import jax
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.schema import LAYER_NORM_EPS


class FixedWeight(nnx.Variable[Array]):
    """A weight that is saved and loaded, and not trained: ``nnx.grad`` and optimizers look for ``nnx.Param``."""


WEIGHT_TYPES = (nnx.Param, FixedWeight)


class LayerFactory:
    """Builds the layers of one model.

    Args:
        config: says how fresh weights are drawn: normal with ``initializer_range``, biases zero.
        rngs: random numbers for weights and dropout.
        dtype: type to compute in.
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

        def zero_padding(key: Any, shape: Any, dtype: Any) -> Array:
            table: Array = self.init(key, shape, dtype)
            return table if padding is None else table.at[padding].set(0)

        return nnx.Embed(rows, width, embedding_init=zero_padding, rngs=self.rngs, **self.types)

    def norm(self, width: int) -> nnx.LayerNorm:
        """Return a LayerNorm, with the variance computed in two passes as the other frameworks do."""
        return nnx.LayerNorm(width, epsilon=LAYER_NORM_EPS, use_fast_variance=False, rngs=self.rngs, **self.types)

    def dropout(self, rate: float) -> nnx.Dropout:
        """Return a dropout with random numbers of its own."""
        return nnx.Dropout(rate, rngs=self.rngs)
