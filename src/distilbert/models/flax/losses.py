"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels. Each returns a scalar in fp32, a mean over what counts;
a label that is no class gives NaN.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ...core.errors import InputError

IGNORED = -100


def sequence_classification_loss(logits: Array, labels: Array, problem_type: str | None) -> Array:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None decides by the labels: one label is regression, integers are one label a
            sequence, anything else is several.
    """
    width = logits.shape[-1]
    if problem_type is None:
        integers = not jnp.issubdtype(labels.dtype, jnp.floating)
        several = "single_label_classification" if integers else "multi_label_classification"
        problem_type = "regression" if width == 1 else several
    if problem_type == "single_label_classification":
        return _cross_entropy(logits, labels.reshape(-1))
    logits, labels = logits.astype(jnp.float32), labels.astype(jnp.float32)
    if problem_type == "regression":
        if logits.size != labels.size:
            _mismatch(labels, logits)
        return jnp.mean(jnp.square(logits.reshape(labels.shape) - labels))
    if logits.shape != labels.shape:
        _mismatch(labels, logits)
    return -jnp.mean(labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits))


def token_loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is passed over."""
    return _cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), IGNORED)


def choice_loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return _cross_entropy(logits, labels.reshape(-1))


def span_loss(start_logits: Array, end_logits: Array, start_positions: Array, end_positions: Array) -> Array:
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and passed over.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
    """
    length = start_logits.shape[1]
    start, end = (jnp.clip(positions.reshape(-1), 0, length) for positions in (start_positions, end_positions))
    start_loss = _cross_entropy(start_logits, start, length)
    end_loss = _cross_entropy(end_logits, end, length)
    return (start_loss + end_loss) / 2


def _cross_entropy(logits: Array, labels: Array, ignored: int = IGNORED) -> Array:
    """Mean of -log softmax of (R, L) logits at (R,) labels, without the rows whose label is ``ignored``."""
    if labels.shape != logits.shape[:1]:
        _mismatch(labels, logits)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise InputError(f"labels that name a class must be integers, got {labels.dtype}.")
    counted = labels != ignored
    picked = jnp.where(counted, labels, 0)
    picked = jnp.where(picked < 0, logits.shape[-1], picked)  # a negative index would count from the end
    scores = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)  # (R, L)
    chosen = jnp.take_along_axis(scores, picked[:, None], axis=-1, mode="fill", fill_value=jnp.nan)[:, 0]
    return -jnp.sum(jnp.where(counted, chosen, 0.0)) / jnp.sum(counted)


def _mismatch(labels: Array, logits: Array) -> None:
    raise InputError(f"labels of shape {labels.shape} do not go with logits of shape {logits.shape}.")
