"""A loaded model as the engine reads it: of any framework, and the arrays of a Keras or Flax model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.schema import PREFIX, Head, head_shapes, tensor_shapes, tied

MOST_LISTED = 5  # weights in a message


class WeightsInMemory:
    """What the engine reads of a loaded model of any framework, besides its arrays."""

    def __init__(self, model: Any) -> None:
        self.model = model

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


class ArrayWeights(WeightsInMemory):
    """The weights of a Keras or Flax model; see ``ModelWeights`` of the engine.

    Args:
        model: one of the six classes of its framework.
        read: returns the array of a model by its name in a checkpoint.
        take_snapshot: returns what tells later whether the model is still that of now.

    Raises:
        InputError: the model is of a class that a user wrote, whose head the engine does not know.
    """

    head_function: Callable[[np.ndarray], np.ndarray] | None = None  # the usual one

    def __init__(self, model: Any, read: Callable[[Any, str], np.ndarray], take_snapshot: Callable[[], Any]) -> None:
        if "head_spec" not in vars(type(model)):
            raise InputError(
                f"The engine runs the classes of this package; a {type(model).__name__} runs in its framework."
            )
        super().__init__(model)
        self._read, self._take_snapshot = read, take_snapshot

    def read(self, name: str) -> np.ndarray:
        """Return an array by its name in a checkpoint, without ``distilbert.``."""
        in_head = not self.head.name or name in head_shapes(self.config, self.head)
        return self._read(self.model, tied(self.config, self.head).get(name, name if in_head else PREFIX + name))

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array, with its whole name in a checkpoint."""
        shared = tied(self.config, self.head)
        for name in tensor_shapes(self.config, self.head):
            if name not in shared:
                yield name, self._read(self.model, name)

    def snapshot(self) -> Any:
        """Return what tells later whether the weights are still those of now."""
        return self._take_snapshot()


def check_only_known_weights(
    model: Any,
    weights: Mapping[str, Any],
    names: Iterable[str],
    find: Callable[[Any, str], tuple[Any, bool]],
    advice: str,
) -> None:
    """Check that a model has the weights of its architecture and no others, before they are written by their names.

    Args:
        model: a Keras or Flax model.
        weights: all of its variables, by their paths in its framework.
        names: what its checkpoint holds.
        find: ``find_variable`` of its framework.
        advice: how to save a model with others.

    Raises:
        InputError: a class that a user wrote has others, or lacks some.
    """
    known = set()
    missing = []
    for name in names:
        try:
            variable = find(model, name)[0]
        except (AttributeError, IndexError):
            variable = None
        if variable is None:
            missing.append(name)
        else:
            known.add(id(variable))
    others = [path for path, variable in weights.items() if id(variable) not in known]
    faults = [
        f"{verb} {', '.join(listed[:MOST_LISTED])}{', ...' if len(listed) > MOST_LISTED else ''}"
        for verb, listed in (("has", others), ("lacks", missing))
        if listed
    ]
    if faults:
        raise InputError(
            f"{type(model).__name__} {' and '.join(faults)}. A checkpoint holds exactly the weights of a "
            f"{model.head_spec.architecture}. {advice}"
        )
