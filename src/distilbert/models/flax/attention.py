"""The attention implementations: eager, and JAX's own.

Legend: B batch, S sequence, N heads, H head dim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ...core.model_checks import seen_keys


def attend_eager(
    q: Array, k: Array, v: Array, mask: Array | None, dropout: Callable[[Array], Array], head_mask: Array | None
) -> tuple[Array, Array]:
    """Attention step by step: the only one that returns its maps, scales heads and drops weights.

    Args:
        q: queries (B, S, N, H).
        k: keys (B, S, N, H).
        v: values (B, S, N, H).
        mask: (B, 1 or N, 1 or S, S) bool, True where a query sees a key; None for all.
        dropout: drops attention weights.
        head_mask: factor for each head, broadcast to (B, N, S, S).

    Returns:
        Contexts (B, S, N, H) and attention maps (B, N, S, S); a query that sees no key attends to all evenly.
    """

    def change(weights: Array) -> Array:
        weights = dropout(weights)
        return weights if head_mask is None else weights * head_mask

    return _attend(q, k, v, None if mask is None else _bias(mask, q.dtype), change)


def attend_sdpa(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """Attention by JAX; arguments as in :func:`attend_eager`. A query that sees no key attends to all evenly.

    In fp32 on a CPU the products of :func:`attend_eager` run instead, because XLA compiles them to faster code there.
    """
    bias = None if mask is None else _bias(mask, q.dtype)
    if q.dtype != jnp.float32:  # in half precision JAX's own attention rounds less
        return fused(q, k, v, bias)
    return jax.lax.platform_dependent(q, k, v, bias, cpu=written_out, default=fused)


def fused(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    """JAX's own attention, with a bias (B, 1 or N, 1 or S, S) that is added to the scores."""
    # With mask= a query that sees no key would have other gradients than in the eager implementation.
    return jax.nn.dot_product_attention(q, k, v, bias=bias)


def written_out(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    """The plain twin of :func:`fused`, which is faster on a CPU."""
    return _attend(q, k, v, bias, lambda weights: weights)[0]


def _attend(q: Array, k: Array, v: Array, bias: Array | None, change: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return contexts (B, S, N, H) and the attention maps (B, N, S, S) after ``change``."""
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))  # (B, N, S, H); an einsum over the other order is slower
    scores = (q * q.shape[-1] ** -0.5) @ jnp.swapaxes(k, -1, -2)  # (B, N, S, S)
    weights = change(jax.nn.softmax(scores if bias is None else scores + bias, axis=-1))
    return jnp.swapaxes(weights @ v, 1, 2), weights


def _bias(mask: Array, dtype: Any) -> Array:
    """Return what to add to the scores: 0 where a query sees a key, else half of the lowest number.

    A sum with the lowest itself may overflow to -inf in fp16, and a row of -inf becomes NaN.
    """
    return jnp.where(mask, 0.0, jnp.finfo(dtype).min / 2).astype(dtype)


def extend_mask(attention_mask: Any) -> Array | None:
    """Turn an attention mask into a bool one that broadcasts to (B, N, S, S), True where a query sees a key.

    Args:
        attention_mask: (B, S) with 1 for tokens and 0 for padding, or (B, 1 or N, S, S) with 1 where the query of a row
            sees the key of a column; a floating one of four dimensions may also be what is added to the scores, see
            :func:`distilbert.core.model_checks.seen_keys`. None for no padding.
    """
    if attention_mask is None:
        return None
    mask = jnp.asarray(attention_mask)
    if mask.ndim == 2:
        return mask.astype(bool)[:, None, None, :]
    return seen_keys(mask, jnp.any) if jnp.issubdtype(mask.dtype, jnp.floating) else mask.astype(bool)
