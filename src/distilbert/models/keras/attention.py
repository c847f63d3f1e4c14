"""The attention implementations: eager, and Keras's own ``dot_product_attention`` under the name sdpa.

Legend: B batch, S sequence, N heads, H head dim.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
from keras import backend, ops

from ...core.model_checks import seen_keys


def attend_eager(
    q: Any, k: Any, v: Any, mask: Any | None, dropout: Callable[[Any], Any], head_mask: Any | None
) -> tuple[Any, Any]:
    """Attention step by step: the only one that returns its maps, scales heads and drops weights.

    Args:
        q: queries (B, N, S, H).
        k: keys (B, N, S, H).
        v: values (B, N, S, H).
        mask: (B, 1 or N, 1 or S, S) bool, True where a query sees a key; None for all.
        dropout: drops attention weights.
        head_mask: factor for each head, broadcast to (B, N, S, S).

    Returns:
        Contexts (B, N, S, H) and attention maps (B, N, S, S); a query that sees no key attends to all evenly.
    """
    scores = ops.matmul(q * q.shape[-1] ** -0.5, ops.transpose(k, (0, 1, 3, 2)))  # (B, N, S, S)
    if mask is not None:
        # Half of the lowest number: a sum with the lowest may overflow to -inf in fp16, and a row of -inf becomes NaN.
        lowest = float(ml_dtypes.finfo(scores.dtype if isinstance(scores.dtype, str) else scores.dtype.name).min)
        scores = scores + ops.cast(ops.where(mask, 0.0, lowest / 2), scores.dtype)
    weights = dropout(ops.softmax(scores, axis=-1))
    if head_mask is not None:
        weights = weights * head_mask
    return ops.matmul(weights, v), weights


def attend_sdpa(q: Any, k: Any, v: Any, mask: Any | None) -> Any:
    """Attention by Keras, which is fused where the backend can do so; arguments as in :func:`attend_eager`.

    Unlike in PyTorch, a query that sees no key attends to all evenly, as in the eager implementation.
    """
    q, k, v = (ops.transpose(x, (0, 2, 1, 3)) for x in (q, k, v))  # (B, S, N, H)
    return ops.transpose(ops.dot_product_attention(q, k, v, mask=mask), (0, 2, 1, 3))


def extend_mask(attention_mask: Any | None) -> Any | None:
    """Turn an attention mask into a bool one that broadcasts to (B, N, S, S), True where a query sees a key.

    Args:
        attention_mask: (B, S) with 1 for tokens and 0 for padding, or (B, 1 or N, S, S) with 1 where the query of a row
            sees the key of a column; a floating one of four dimensions may also be what is added to the scores, see
            :func:`distilbert.core.model_checks.seen_keys`. None for no padding.
    """
    if attention_mask is None:
        return None
    if len(attention_mask.shape) == 2:
        return ops.expand_dims(ops.not_equal(attention_mask, 0), (1, 2))
    if backend.is_float_dtype(backend.standardize_dtype(attention_mask.dtype)):
        return seen_keys(ops.convert_to_tensor(attention_mask), ops.any)
    return ops.not_equal(attention_mask, 0)
