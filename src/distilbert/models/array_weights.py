"""A Keras or Flax model as the engine reads it: its arrays, and whether they have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.schema import PREFIX, Head, head_shapes, tensor_shapes, tied

SAMPLES = 16  # numbers of each array that are compared


class ArrayWeights:
    """The weights of a model; see ``ModelWeights`` of the engine.

    Args:
        model: one of the six classes of its framework.
        read: returns the array of a model by its name in a checkpoint.
        value_of: returns what holds the numbers of a weight now: an object that is replaced when they change, or a view
            of the numbers themselves.

    Raises:
        InputError: the model is of a class that a user wrote, whose head the engine does not know.
    """

    head_function: Callable[[np.ndarray], np.ndarray] | None = None  # the usual one

    def __init__(self, model: Any, read: Callable[[Any, str], np.ndarray], value_of: Callable[[Any, str], Any]) -> None:
        if "head_spec" not in vars(type(model)):
            raise InputError(
                f"The engine runs the classes of this package; a {type(model).__name__} runs in its framework."
            )
        self.model, self._read, self._value_of = model, read, value_of

    @property
    def config(self) -> DistilBertConfig:
        """Its configuration."""
        config: DistilBertConfig = self.model.config
        return config

    @property
    def head(self) -> Head:
        """Its head."""
        head: Head = self.model.head_spec
        return head

    def read(self, name: str) -> np.ndarray:
        """Return an array by its name in a checkpoint, without ``distilbert.``."""
        in_head = not self.head.name or name in head_shapes(self.config, self.head)
        return self._read(self.model, tied(self.config, self.head).get(name, name if in_head else PREFIX + name))

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array, with its whole name in a checkpoint."""
        for name in self.names():
            yield name, self._read(self.model, name)

    def names(self) -> list[str]:
        """Return the names of all arrays in a checkpoint."""
        shared = tied(self.config, self.head)
        return [name for name in tensor_shapes(self.config, self.head) if name not in shared]

    def values(self) -> list[Any]:
        """Return what holds the numbers of each weight now: samples of arrays, or objects."""
        return [_sample(self._value_of(self.model, name)) for name in self.names()]

    def snapshot(self) -> ArraySnapshot:
        """Return what tells later whether the weights are still those of now."""
        return ArraySnapshot(self)


class ArraySnapshot:
    """The weights of a model at one moment."""

    def __init__(self, weights: ArrayWeights) -> None:
        self._weights, self._values = weights, weights.values()

    def is_current(self, ids: np.ndarray) -> bool:
        """Say whether the model still has them. Of arrays that are written in place, samples are compared."""
        now = self._weights.values()
        return len(now) == len(self._values) and all(
            new is old or (isinstance(new, bytes) and new == old) for new, old in zip(now, self._values, strict=True)
        )


def _sample(value: Any) -> Any:
    """Return some numbers of an array that may be written in place; any other object as it is."""
    if not isinstance(value, np.ndarray):
        return value
    numbers = value.reshape(-1)
    return numbers[:: max(1, len(numbers) // SAMPLES)].tobytes()
