"""The tiny model of :mod:`tests.tiny` in Flax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import distilbert.models.flax as room
from distilbert.core.schema import HEADS
from distilbert.models.flax.layer_factory import WEIGHT_TYPES
from tests import tiny

QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0}


def flax_class(head: str) -> Any:
    return getattr(room, f"Flax{HEADS[head].architecture}")


def flax_model(head: str = "", seed: int = 0, dtype: Any = jnp.float32, **changes: Any) -> Any:
    """A model in evaluation mode whose weights are large enough for every part to matter."""
    model = flax_class(head)(tiny.tiny_config(head, **changes), seed=seed, dtype=dtype)
    for number, (_, variable) in enumerate(nnx.iter_graph(model)):
        if isinstance(variable, WEIGHT_TYPES):
            value = variable.get_value()
            noise = jax.random.normal(jax.random.key(number), value.shape, value.dtype)
            variable.set_value(value + noise * 0.3)
    model.eval()
    return model


def arrays(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def inputs(head: str = "") -> dict[str, np.ndarray]:
    return arrays(tiny.tiny_inputs(head))


def labels(head: str) -> dict[str, np.ndarray]:
    return arrays(tiny.tiny_labels(head))


def close(a: Any, b: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(b, np.float32), rtol=0, atol=tolerance)
