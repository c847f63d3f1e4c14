"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels. Each loss is a float32 scalar, the mean over
the labels that are not left out.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from ...core.model_checks import check_class_labels, check_labels, pick_problem_type, shapes_fit

IGNORED = -100


def sequence_classification_loss(logits: Any, labels: Any, problem_type: str | None) -> Any:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None for what :func:`distilbert.core.model_checks.pick_problem_type` picks.
    """
    integers = "float" not in keras.backend.standardize_dtype(labels.dtype)
    problem_type = pick_problem_type(problem_type, logits.shape[-1], integers=integers)
    if problem_type == "single_label_classification":
        return _cross_entropy(logits, labels)
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    if problem_type == "regression":
        sizes = _size(labels), _size(logits)
        check_labels(tuple(labels.shape), tuple(logits.shape), sizes[0] == sizes[1] or None in sizes)
        return ops.mean(ops.square(ops.reshape(logits, ops.shape(labels)) - labels))
    _check_fit(labels, logits.shape, logits)
    return ops.mean(ops.binary_crossentropy(labels, logits, from_logits=True))


def token_loss(logits: Any, labels: Any) -> Any:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is left out."""
    return _cross_entropy(ops.reshape(logits, (-1, logits.shape[-1])), labels, IGNORED)


def choice_loss(logits: Any, labels: Any) -> Any:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return _cross_entropy(logits, labels)


def span_loss(start_logits: Any, end_logits: Any, start_positions: Any, end_positions: Any) -> Any:
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and left out.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
    """
    length = ops.shape(start_logits)[1]
    start, end = (ops.clip(_classes(positions), 0, length) for positions in (start_positions, end_positions))
    return (_cross_entropy(start_logits, start, length) + _cross_entropy(end_logits, end, length)) / 2


def _cross_entropy(logits: Any, labels: Any, ignored: Any = IGNORED) -> Any:
    """Mean over the rows of (R, L) logits whose label is not ``ignored``; NaN if there is none."""
    labels = _classes(labels)  # (R,)
    _check_fit(labels, logits.shape[:1], logits)
    kept = ops.not_equal(labels, ignored)
    each = ops.sparse_categorical_crossentropy(
        ops.where(kept, labels, 0), ops.cast(logits, "float32"), from_logits=True
    )
    kept = ops.cast(kept, "float32")
    return ops.sum(each * kept) / ops.sum(kept)


def _classes(labels: Any) -> Any:
    """Flatten labels that name classes: (R,) int32."""
    dtype = keras.backend.standardize_dtype(labels.dtype)
    check_class_labels("int" in dtype, dtype)
    return ops.reshape(ops.cast(labels, "int32"), (-1,))


def _size(tensor: Any) -> int | None:
    """Return the number of elements, if it is known."""
    return None if None in tuple(tensor.shape) else math.prod(tensor.shape)


def _check_fit(labels: Any, expected: Any, logits: Any) -> None:
    """Check that labels have the expected shape, as far as it is known."""
    check_labels(tuple(labels.shape), tuple(logits.shape), shapes_fit(tuple(labels.shape), tuple(expected)))
