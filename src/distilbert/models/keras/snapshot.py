"""Whether a Keras model still is what it was when something was made from it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import keras
import numpy as np

SAMPLES = 64  # numbers of a weight that are compared, where the backend does not say that it changed


class ModelSnapshot:
    """What a model consists of at one moment, to notice later that a compiled function or a copy is out of date.

    Args:
        model: the model.
        copied: compare the weights too, because a copy of them is in use. A compiled function reads the model's own.
    """

    def __init__(self, model: Any, copied: bool) -> None:
        layers = [model, *model._flatten_layers(include_self=False)]
        self._lists = [
            members
            for layer in layers
            for members in (layer._trainable_variables, layer._non_trainable_variables, layer._layers)
        ]
        self._members = list(chain.from_iterable(self._lists))
        self._ids = list(map(id, self._members))
        self._read_weights: Callable[[], Any] = _weights_reader(model) if copied else lambda: None
        self._weights = self._read_weights()

    def is_current(self, ids: np.ndarray | None = None) -> bool:
        """Say whether the model is the same as at that moment; the engine passes ``ids``, which do not matter here."""
        if list(map(id, chain.from_iterable(self._lists))) != self._ids:
            return False
        return bool(self._read_weights() == self._weights)


def _weights_reader(model: Any) -> Callable[[], Any]:
    """Return a function whose result changes with the weights of a model."""
    variables = model.variables
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def sample() -> Any:
            flat = [tf.reshape(variable.value, [-1]) for variable in variables]
            return tf.concat([tf.cast(x[:: max(1, x.shape[0] // SAMPLES)], tf.float32) for x in flat], axis=0)

        compiled: Any = tf.function(sample)
        return lambda: compiled().numpy().tobytes()
    # An array of JAX never changes in place; a tensor of PyTorch counts its changes.
    kept: list[Any] = []

    def read() -> list[tuple[int, int]]:
        values = [variable.value for variable in variables]
        kept[:] = kept or values  # an id belongs to one object only as long as that is alive
        return [(id(value), getattr(value, "_version", 0)) for value in values]

    return read
