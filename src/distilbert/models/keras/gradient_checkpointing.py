"""Gradient checkpointing: a block keeps only its input, and is computed again in the backward pass.

Legend: B batch, S sequence, D dim, N heads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers


def checkpoint(block: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that calls ``block`` through :func:`keras.remat` and takes the same arguments.

    The block must compute the same numbers both times. So its weights and the states of its random generators are read
    once and passed to it. Afterwards the generators advance as if the block had run once.
    """

    def run(hidden: Any, attention_mask: Any = None, head_mask: Any = None, **options: Any) -> tuple[Any, Any]:
        """Return hidden states (B, S, D) and attention maps (B, N, S, S), or None instead of the maps."""
        weights = block.trainable_variables
        others = [v for v in block.variables if all(v is not weight for weight in weights)]
        other_values = [(variable, variable.value * 1) for variable in others]  # copies: generators change in place
        factors = [] if head_mask is None else [head_mask]

        def compute(hidden: Any, *tensors: Any) -> list[Any]:
            values, factors = tensors[: len(weights)], tensors[len(weights) :]
            with keras.StatelessScope(state_mapping=[*zip(weights, values, strict=True), *other_values]):
                outputs = block(hidden, attention_mask, *(factors or (None,)), **options)
            return [output for output in outputs if output is not None]

        outputs = keras.remat(compute)(hidden, *(weight.value for weight in weights), *factors)
        for layer in (block.attention.dropout, block.ffn.dropout):
            _advance(layer)
        return (*outputs, None)[0], (*outputs, None)[1]

    return run


def _advance(dropout: layers.Dropout) -> None:
    """Advance the random generator of a dropout, if it draws numbers."""
    if dropout.rate:
        dropout.seed_generator.next()
