"""Whether a Flax model still is what it was when something was made from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from flax import nnx


class ModelSnapshot:
    """What a model consists of at one moment: its modules, and the arrays of its weights, which never change."""

    def __init__(self, model: Any) -> None:
        nodes = [node for _, node in nnx.iter_graph(model)]
        self._weights = [node for node in nodes if isinstance(node, nnx.Param)]
        self._attributes = [vars(node) for node in nodes if isinstance(node, (nnx.Module, nnx.List))]
        self._places = [
            (attributes, name)
            for attributes in self._attributes
            for name, value in attributes.items()
            if isinstance(value, (nnx.Module, nnx.List, nnx.Variable))
        ]
        self._members, self._counts = self._read(), list(map(len, self._attributes))

    def is_current(self, ids: np.ndarray | None = None) -> bool:
        """Say whether the model is the same as at that moment; the engine passes ``ids``, which do not matter here."""
        if list(map(len, self._attributes)) != self._counts:
            return False
        return list(map(id, self._read())) == list(map(id, self._members))

    def _read(self) -> list[Any]:
        """Return the members of all modules, and the array of each weight."""
        members = [attributes.get(name) for attributes, name in self._places]
        return members + [weight.get_raw_value() for weight in self._weights]
