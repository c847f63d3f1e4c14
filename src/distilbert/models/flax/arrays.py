"""JAX's variables and the rest of the package: NumPy arrays by checkpoint names, plain trees, output classes in JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ...core.errors import WeightsMismatchError
from ...core.outputs import ModelOutput
from ...weights.leaves import FLAX, locate
from .layer_factory import WEIGHT_TYPES

Tree = dict[str, Any]


def find_variable(model: nnx.Module, name: str) -> tuple[nnx.Variable[Any], bool]:
    """Return the variable behind a checkpoint's name, and whether the checkpoint holds it transposed."""
    path, leaf, transposed = locate(name, FLAX)
    layer: Any = model
    for step in path.split("."):
        layer = layer[int(step)] if step.isdigit() else getattr(layer, step)
    return getattr(layer, leaf), transposed


def read_variable(model: nnx.Module, name: str) -> np.ndarray:
    """Return an array as the checkpoint has it."""
    variable, transposed = find_variable(model, name)
    array = to_numpy(variable.get_value())
    return array.T if transposed else array


def write_variable(model: nnx.Module, name: str, array: np.ndarray) -> None:
    """Put an array of the checkpoint into its variable, whose floating type it takes."""
    variable, transposed = find_variable(model, name)
    weight = jnp.asarray(np.ascontiguousarray(array.T if transposed else array))
    variable.set_value(weight.astype(variable.get_value().dtype))


def to_numpy(tensor: Array) -> np.ndarray:
    """Return an array of a tensor."""
    return np.asarray(tensor)


def concrete(value: Any) -> np.ndarray | None:
    """Return the numbers of ``value``, or None while JAX traces and there are none yet."""
    if value is None or isinstance(value, jax.core.Tracer):
        return None
    return np.asarray(value)


def get_tree(model: nnx.Module) -> Tree:
    """Return the weights as nested dictionaries of arrays: ``{"embeddings": {"word_embeddings": {"embedding": ...``."""
    return unflatten({path: variable.get_value() for path, variable in _weights(model)})


def set_tree(model: nnx.Module, tree: Mapping[str, Any], keep_types: bool = False) -> None:
    """Put the arrays of ``tree``, as :func:`get_tree` returns them, in place of the weights.

    They are converted to the types of the weights, unless ``keep_types``.

    Raises:
        WeightsMismatchError: lists all missing, left-over and misshapen arrays at once; nothing has been changed.
    """
    new, current = dict(tree_leaves(tree)), dict(_weights(model))
    faults = [f"  missing: {'/'.join(path)}" for path in current if path not in new]
    faults += [f"  left over: {'/'.join(path)}" for path in new if path not in current]
    for path, variable in current.items():
        if path in new and np.shape(new[path]) != variable.get_value().shape:
            faults.append(f"  {'/'.join(path)}: given {np.shape(new[path])}, needed {variable.get_value().shape}")
    if faults:
        raise WeightsMismatchError("\n".join(["These params do not fit the model:", *faults]))
    for path, variable in current.items():
        array, dtype = new[path], None if keep_types else variable.get_value().dtype
        # An array of NumPy can change; JAX would share its memory.
        variable.set_value(jnp.array(array, dtype, copy=isinstance(array, np.ndarray)))


def has_values(model: nnx.Module) -> bool:
    """Return whether a model has its weights, and not only their shapes."""
    return not any(isinstance(variable.get_value(), jax.ShapeDtypeStruct) for _, variable in _weights(model))


def drop_values(model: nnx.Module) -> None:
    """Remove the weights of a model and keep their shapes and types."""
    for _, variable in _weights(model):
        value = variable.get_value()
        variable.set_value(jax.ShapeDtypeStruct(value.shape, value.dtype))


def fill_missing(model: nnx.Module, other: nnx.Module) -> None:
    """Take the values that a model lacks from another one of the same class."""
    values = dict(_weights(other))
    for path, variable in _weights(model):
        if isinstance(variable.get_value(), jax.ShapeDtypeStruct):
            variable.set_value(values[path].get_value())


def all_weights(model: nnx.Module) -> dict[str, nnx.Variable[Any]]:
    """Return all variables by their paths, such as ``embeddings/word_embeddings/embedding``."""
    return {"/".join(path): variable for path, variable in _weights(model)}


def _weights(model: nnx.Module) -> Iterator[tuple[tuple[str, ...], nnx.Variable[Any]]]:
    for path, variable in nnx.iter_graph(model):
        if isinstance(variable, WEIGHT_TYPES):
            yield tuple(map(str, path)), variable


def tree_leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the arrays of a tree with their paths, such as ``("embeddings", "word_embeddings", "embedding")``."""
    if not isinstance(tree, Mapping):
        yield path, tree
        return
    for name, node in tree.items():
        yield from tree_leaves(node, (*path, str(name)))


def unflatten(leaves: Mapping[tuple[str, ...], Any]) -> Tree:
    """Return the tree whose arrays :func:`tree_leaves` would yield."""
    tree: Tree = {}
    for path, leaf in leaves.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = leaf
    return tree


def _register(output: type[ModelOutput]) -> None:
    """Let ``jit``, ``grad`` and ``jax.tree`` see the arrays in an output."""

    def flatten(value: ModelOutput) -> tuple[list[tuple[Any, Any]], tuple[str, ...]]:
        return [(jax.tree_util.GetAttrKey(name), entry) for name, entry in value.items()], tuple(value.keys())

    def unflatten(names: tuple[str, ...], values: Any) -> ModelOutput:
        return output(dict(zip(names, values, strict=True)))

    with contextlib.suppress(ValueError):  # Keras on JAX has registered it already
        jax.tree_util.register_pytree_with_keys(output, flatten, unflatten)
    for derived in output.__subclasses__():
        _register(derived)


for _output in ModelOutput.__subclasses__():
    _register(_output)
