"""A model as a pure function of its weights: how JAX's training loops and transformers' Flax classes call one.

Legend: B batch, C choices, S sequence. A tree is weights as nested dictionaries of arrays, as ``model.params`` is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import jax.numpy as jnp
from flax import nnx

from ...core.errors import InputError
from .arrays import Tree, set_tree, tree_leaves, unflatten


def functional(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a model's ``__call__`` also take the arguments of a pure function.

    The call then has three more arguments, by name:

    - ``params``: a tree of weights to compute with instead of the model's own. The model is not changed.
    - ``dropout_rng``: a key of JAX from which all dropout of this call is drawn. The same key drops the same values.
    - ``train``: True applies dropout, False leaves it out; the opposite of ``deterministic``.

    With ``params`` or ``dropout_rng`` a call has no side effects: ``jax.jit``, ``jax.grad`` and ``jax.pmap`` take it as
    it is.
    """

    @wraps(call)
    def call_with(
        self: Any, *args: Any, params: Mapping[str, Any] | None = None, dropout_rng: Any = None,
        train: bool | None = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        if train is not None:
            if kwargs.get("deterministic") is not None:
                raise InputError("Give either train or deterministic: one is the opposite of the other.")
            kwargs["deterministic"] = not train
        if params is None and not self.has_params:
            raise InputError(f"This {type(self).__name__} was made with _do_init=False: call it with params=...")
        if params is None and dropout_rng is None:
            return call(self, *args, **kwargs)
        if params is not None and dropout_rng is None and train and _drops(self):
            raise InputError("train=True with params needs dropout_rng=..., a new key at each step.")
        return call(_copy_with(self, params, dropout_rng), *args, **kwargs)

    return call_with


class PureModule:
    """The two functions of a Flax ``linen`` module, for a model: ``init`` and ``apply``. It holds no weights.

    Args:
        model: gives the sizes and types.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def init(self, rngs: Any, *inputs: Any, **options: Any) -> dict[str, Tree]:
        """Return fresh weights as ``{"params": tree}``.

        Args:
            rngs: a key of JAX, or a dictionary with one under ``"params"``.
            *inputs: taken because linen modules need them; the sizes here come from the configuration.
            **options: likewise.
        """
        return {"params": self._model.init_weights(rngs["params"] if isinstance(rngs, Mapping) else rngs)}

    def apply(
        self,
        variables: Mapping[str, Any],
        input_ids: Any,
        attention_mask: Any = None,
        deterministic: bool = True,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        rngs: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Any:
        """Return the output of the model with the weights in ``variables``.

        Args:
            variables: ``{"params": tree}``.
            input_ids: (B, S) or (B, C, S).
            attention_mask: of the same shape.
            deterministic: leave dropout out.
            output_attentions: return attention maps.
            output_hidden_states: return the hidden states of all layers.
            return_dict: False for a tuple.
            rngs: a key for dropout under ``"dropout"``.
            **inputs: further arguments of the model's call.
        """
        return self._model(
            input_ids,
            attention_mask,
            params=variables["params"],
            dropout_rng=(rngs or {}).get("dropout"),
            train=not deterministic,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
            **inputs,
        )


def cast_floating(tree: Mapping[str, Any], dtype: Any, mask: Mapping[str, Any] | None = None) -> Tree:
    """Return a tree whose floating arrays have another type.

    Args:
        tree: weights; left as they are.
        dtype: the new type.
        mask: a tree of the same names, False for arrays that keep their type; None changes all.

    Raises:
        InputError: the mask has other names than the tree.
    """
    leaves = dict(tree_leaves(tree))
    chosen = dict.fromkeys(leaves, True) if mask is None else dict(tree_leaves(mask))
    if chosen.keys() != leaves.keys():
        names = sorted("/".join(path) for path in chosen.keys() ^ leaves.keys())
        raise InputError(f"mask must have the names of params; these are in one of them only: {', '.join(names)}.")
    return unflatten(
        {
            path: leaf.astype(dtype) if chosen[path] and jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
            for path, leaf in leaves.items()
        }
    )


def _copy_with(model: Any, params: Mapping[str, Any] | None, dropout_rng: Any) -> Any:
    """Return a copy of a model with other weights, other random numbers for dropout, or both."""
    copy = nnx.clone(model)
    if params is not None:
        set_tree(copy, params)
    if dropout_rng is not None:
        streams = nnx.Rngs(dropout=dropout_rng)
        for dropout in _dropouts(copy):
            dropout.rngs = streams["dropout"].fork()
    return copy


def _dropouts(model: Any) -> list[nnx.Dropout]:
    return [module for _, module in nnx.iter_modules(model) if isinstance(module, nnx.Dropout)]


def _drops(model: Any) -> bool:
    return any(dropout.rate for dropout in _dropouts(model))
