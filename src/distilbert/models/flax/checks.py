"""What a model refuses, in the same words as its siblings, and the shape it brings arguments to.

Legend: B batch, S sequence, N heads. Values can be looked at only where JAX does not trace; shapes always.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ...core.config import DistilBertConfig
from ...core.errors import InputError
from .arrays import is_concrete


def check_inputs(config: DistilBertConfig, input_ids: Any, inputs_embeds: Any, token_type_ids: Any) -> tuple[int, int]:
    """Check the shapes of a model's input and return B and S.

    Raises:
        InputError: ids and embeddings, or neither; another shape; too many tokens; token types other than zero.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise InputError("Give either input_ids or inputs_embeds, and not both.")
    shape = np.shape(input_ids if input_ids is not None else inputs_embeds)
    if input_ids is not None and len(shape) != 2:
        raise InputError(f"input_ids must be (batch, sequence), got shape {shape}.")
    if inputs_embeds is not None and (len(shape) != 3 or shape[-1] != config.dim):
        raise InputError(f"inputs_embeds must be (batch, sequence, {config.dim}), got shape {shape}.")
    check_length(config, shape[1])
    if token_type_ids is not None and is_concrete(token_type_ids) and np.any(token_type_ids):
        raise InputError(
            "token_type_ids holds nonzero ids, and DistilBERT has no token types: it tells two texts apart by the "
            "[SEP] between them. Leave token_type_ids out (return_token_type_ids=False)."
        )
    return shape[0], shape[1]


def check_length(config: DistilBertConfig, length: int) -> None:
    """Raise InputError if ``length`` tokens are more than the model has positions for."""
    limit = config.max_position_embeddings
    if length > limit:
        raise InputError(
            f"The input has {length} tokens and the model knows {limit} positions: tokenize with truncation=True, "
            "or with a stride into windows, or enlarge it with resize_position_embeddings()."
        )


def check_ids(name: str, ids: Any, size: int) -> None:
    """Raise InputError for ids that a table of ``size`` rows does not have."""
    if ids is None:
        return
    ids = np.asarray(ids) if is_concrete(ids) else ids
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise InputError(f"{name} must be integers, got {ids.dtype}.")
    if is_concrete(ids) and ids.size and (ids.min() < 0 or ids.max() >= size):
        raise InputError(
            f"{name} holds ids from {int(ids.min())} to {int(ids.max())}; this model takes 0 to {size - 1}."
            " Do the tokenizer and the model belong together?"
        )


def head_factors(config: DistilBertConfig, head_mask: Any, dtype: Any) -> Array | None:
    """Bring ``head_mask`` (N,) or (n_layers, N) to (n_layers, 1, N, 1, 1)."""
    if head_mask is None:
        return None
    layers, heads = config.n_layers, config.n_heads
    factors = jnp.asarray(head_mask, dtype)
    if factors.ndim == 1:
        factors = jnp.broadcast_to(factors, (layers, *factors.shape))
    if factors.shape != (layers, heads) or config.pruned_heads:
        raise InputError(
            f"head_mask must be ({heads},) or ({layers}, {heads}) and needs a model without pruned heads, "
            f"got {factors.shape}."
        )
    return factors[:, None, :, None, None]
