"""Between Keras and NumPy: variables by their checkpoint names, and output classes that Keras's tools look into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import ml_dtypes
import numpy as np
import optree

from ...core.outputs import ModelOutput
from ...weights.leaves import TENSORFLOW, locate


def find_variable(model: Any, name: str) -> tuple[Any, bool]:
    """Return the variable behind a checkpoint's name, and whether the checkpoint holds it transposed."""
    path, leaf, transposed = locate(name, TENSORFLOW)
    layer = model
    for step in path.split("."):
        layer = layer[int(step)] if step.isdigit() else getattr(layer, step)
    return getattr(layer, leaf), transposed


def read_variable(model: Any, name: str) -> np.ndarray:
    """Return an array as the checkpoint has it."""
    variable, transposed = find_variable(model, name)
    array = to_numpy(variable.value)
    return array.T if transposed else array


def write_variable(model: Any, name: str, array: np.ndarray) -> None:
    """Put an array of the checkpoint into its variable, whose floating type it takes."""
    variable, transposed = find_variable(model, name)
    variable.assign((array.T if transposed else array).astype(_numpy_dtype(variable.dtype), copy=False))


def to_numpy(tensor: Any) -> np.ndarray:
    """Return an array of a tensor, whatever the backend."""
    # NumPy's own conversion of a TensorFlow tensor gives a warning.
    return np.asarray(tensor.numpy() if hasattr(tensor, "numpy") else tensor)


def concrete(value: Any) -> np.ndarray | None:
    """Return the numbers of ``value``, or None while a graph is being traced and there are none yet."""
    if value is None or isinstance(value, keras.KerasTensor):
        return None
    try:
        return to_numpy(value)
    except (TypeError, ValueError, NotImplementedError):
        return None


def _numpy_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _flatten(output: ModelOutput) -> tuple[list[Any], tuple[str, ...]]:
    names = tuple(sorted(output.keys()))  # in the order in which Keras walks dictionaries
    return [output[name] for name in names], names


def _register(output: type[ModelOutput]) -> None:
    """Let Keras, tf.function and jax.jit see the tensors in an output."""

    def unflatten(names: tuple[str, ...], values: Iterable[Any]) -> ModelOutput:
        return output(dict(zip(names, values, strict=True)))

    def tf_flatten(value: ModelOutput) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        values, names = _flatten(value)
        return names, tuple(values)

    optree.register_pytree_node(output, _flatten, unflatten, namespace="keras")  # type: ignore[arg-type]
    # TensorFlow has no registry: it asks a class for these two methods.
    setattr(output, "__tf_flatten__", tf_flatten)  # noqa: B010
    setattr(output, "__tf_unflatten__", classmethod(lambda _, names, values: unflatten(names, values)))  # noqa: B010
    if keras.backend.backend() == "jax":
        import jax

        with contextlib.suppress(ValueError):  # the Flax room registered it before
            jax.tree_util.register_pytree_node(output, _flatten, unflatten)
    for derived in output.__subclasses__():
        _register(derived)


for _output in ModelOutput.__subclasses__():
    _register(_output)
