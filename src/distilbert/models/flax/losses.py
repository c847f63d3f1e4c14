"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels. Each loss is a float32 scalar, the mean over
the labels that are not left out; a label that is not a class makes it NaN.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from ...core.model_checks import IGNORED, check_class_labels, check_label_range, check_labels, pick_problem_type
from .arrays import concrete


def sequence_classification_loss(logits: Array, labels: Array, problem_type: str | None) -> Array:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None for what :func:`distilbert.core.model_checks.pick_problem_type` picks.
    """
    integers = not jnp.issubdtype(labels.dtype, jnp.floating)
    problem_type = pick_problem_type(problem_type, logits.shape[-1], integers=integers)
    if problem_type == "single_label_classification":
        return _cross_entropy(logits, labels)
    logits, labels = logits.astype(jnp.float32), labels.astype(jnp.float32)
    if problem_type == "regression":
        check_labels(labels.shape, logits.shape, labels.size == logits.size)
        return jnp.mean(jnp.square(logits.reshape(labels.shape) - labels))
    check_labels(labels.shape, logits.shape, labels.shape == logits.shape)
    return -jnp.mean(labels * jax.nn.log_sigmoid(logits) + (1 - labels) * jax.nn.log_sigmoid(-logits))


def token_loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is left out."""
    return _cross_entropy(logits.reshape(-1, logits.shape[-1]), labels)


def choice_loss(logits: Array, labels: Array) -> Array:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return _cross_entropy(logits, labels)


def span_loss(start_logits: Array, end_logits: Array, start_positions: Array, end_positions: Array) -> Array:
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and left out.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
    """
    length = start_logits.shape[1]
    start, end = (jnp.clip(positions, 0, length) for positions in (start_positions, end_positions))
    return (_cross_entropy(start_logits, start, length) + _cross_entropy(end_logits, end, length)) / 2


def _cross_entropy(logits: Array, labels: Array, ignored: int = IGNORED) -> Array:
    """Mean over the rows of (R, L) logits whose label is not ``ignored``; NaN if there is none."""
    labels = labels.reshape(-1)  # (R,)
    check_labels(labels.shape, logits.shape, labels.shape == logits.shape[:1])
    check_class_labels(jnp.issubdtype(labels.dtype, jnp.integer), labels.dtype)
    numbers = concrete(labels)
    if numbers is not None:
        check_label_range(numbers, logits.shape[-1], ignored)
    counted = labels != ignored
    picked = jnp.where(counted, labels, 0)
    picked = jnp.where(picked < 0, logits.shape[-1], picked)  # a negative index would count from the end
    scores = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)  # (R, L)
    chosen = jnp.take_along_axis(scores, picked[:, None], axis=-1, mode="fill", fill_value=jnp.nan)[:, 0]
    return -jnp.sum(jnp.where(counted, chosen, 0.0)) / jnp.sum(counted)
