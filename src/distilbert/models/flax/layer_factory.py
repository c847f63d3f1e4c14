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
        shapes_only: leave the weights out and keep their shapes and types.
    """

    def __init__(
        self, config: DistilBertConfig, rngs: nnx.Rngs, dtype: Any, param_dtype: Any, shapes_only: bool = False
    ) -> None:
        self.rngs = rngs
        self.types: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.shapes_only = shapes_only
        initializers = jax.nn.initializers
        self._normal = self._initializer(initializers.normal(config.initializer_range))
        self._zeros = self._initializer(initializers.zeros)
        self._ones = self._initializer(initializers.ones)

    def linear(self, in_features: int, out_features: int) -> nnx.Linear:
        """Return a linear map with bias; its kernel is (in, out)."""
        inits: dict[str, Any] = {"kernel_init": self._normal, "bias_init": self._zeros}
        return nnx.Linear(in_features, out_features, rngs=self.rngs, **inits, **self.types)

    def bias(self, width: int) -> nnx.Param[Array]:
        """Return a bias (width,) of zeros."""
        return nnx.Param(self._zeros(None, (width,), self.types["param_dtype"]))

    def embedding(self, rows: int, width: int, padding: int | None = None) -> nnx.Embed:
        """Return a table (rows, width); row ``padding`` starts as zeros."""

        def zero_padding(key: Any, shape: Any, dtype: Any) -> Array:
            table: Array = self._normal(key, shape, dtype)
            return table if padding is None or self.shapes_only else table.at[padding].set(0)

        return nnx.Embed(rows, width, embedding_init=zero_padding, rngs=self.rngs, **self.types)

    def norm(self, width: int) -> nnx.LayerNorm:
        """Return a LayerNorm, with the variance computed in two passes as the other frameworks do."""
        inits: dict[str, Any] = {"scale_init": self._ones, "bias_init": self._zeros}
        return nnx.LayerNorm(
            width, epsilon=LAYER_NORM_EPS, use_fast_variance=False, rngs=self.rngs, **inits, **self.types
        )

    def dropout(self, rate: float) -> nnx.Dropout:
        """Return a dropout with random numbers of its own, which ``model.train()`` switches on."""
        return nnx.Dropout(rate, deterministic=True, rngs=self.rngs)

    def _initializer(self, initializer: Any) -> Any:
        return _shape_and_type if self.shapes_only else initializer


def _shape_and_type(key: Any, shape: tuple[int, ...], dtype: Any, *options: Any) -> jax.ShapeDtypeStruct:
    """Stand in for an initializer and draw no numbers."""
    return jax.ShapeDtypeStruct(shape, dtype)
