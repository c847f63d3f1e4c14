"""Gradient checkpointing: a block that keeps its input alone and is computed a second time in the backward pass.

Legend: B batch, S sequence, D dim, N heads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers


def checkpoint(block: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes what ``block`` does, with its arguments, by :func:`keras.remat`.

    The block must give the same numbers both times. So it becomes a function of its weights and of the states of its
    random generators, which are read once, before; the generators move on afterwards, as if it had run once.
    """

    def run(hidden: Any, attention_mask: Any = None, head_mask: Any = None, **options: Any) -> tuple[Any, Any]:
        """Compute hidden states (B, S, D) and attention maps (B, N, S, S), or None for these."""
        weights = block.trainable_variables
        fixed = [v for v in block.variables if all(v is not weight for weight in weights)]
        fixed_values = [(variable, variable.value * 1) for variable in fixed]  # copies: generators change in place
        factors = [] if head_mask is None else [head_mask]

        def compute(hidden: Any, *tensors: Any) -> list[Any]:
            values, factors = tensors[: len(weights)], tensors[len(weights) :]
            with keras.StatelessScope(state_mapping=[*zip(weights, values, strict=True), *fixed_values]):
                outputs = block(hidden, attention_mask, *(factors or (None,)), **options)
            return [output for output in outputs if output is not None]

        outputs = keras.remat(compute)(hidden, *(weight.value for weight in weights), *factors)
        for layer in (block.attention.dropout, block.ffn.dropout):
            _advance(layer)
        return (*outputs, None)[0], (*outputs, None)[1]

    return run


def _advance(dropout: layers.Dropout) -> None:
    """Draw from the generator of a dropout, if it has any."""
    if dropout.rate:
        dropout.seed_generator.next()
