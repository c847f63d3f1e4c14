"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels, R labels of a batch. Each loss is a float32 scalar, the
mean over the labels that are not left out. ``weights``, of the shape of the labels or (B,), multiply the loss of each
label; as elsewhere in Keras, the sum is divided by the number of labels, not by the sum of the weights. With ``reduce``
False the loss of each label is returned, 0 for those that are left out.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from ...core.errors import InputError
from ...core.model_checks import (
    IGNORED,
    check_class_labels,
    check_label_range,
    check_labels,
    pick_problem_type,
    shapes_fit,
)
from .arrays import concrete


def sequence_classification_loss(
    logits: Any, labels: Any, problem_type: str | None, weights: Any = None, reduce: bool = True
) -> Any:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None for what :func:`distilbert.core.model_checks.pick_problem_type` picks.
        weights: (B,), or of the shape of the labels.
        reduce: False for the loss of each sequence, (B,).
    """
    integers = "float" not in keras.backend.standardize_dtype(labels.dtype)
    problem_type = pick_problem_type(problem_type, logits.shape[-1], integers=integers)
    if problem_type == "single_label_classification":
        return _cross_entropy(logits, labels, weights=weights, reduce=reduce)
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    if problem_type == "regression":
        sizes = _size(labels), _size(logits)
        check_labels(tuple(labels.shape), tuple(logits.shape), sizes[0] == sizes[1] or None in sizes)
        each = ops.square(ops.reshape(logits, ops.shape(labels)) - labels)
    else:
        _check_fit(labels, logits.shape, logits)
        each = ops.binary_crossentropy(labels, logits, from_logits=True)
    if weights is not None:
        each = each * fit_weights(weights, labels)
    if reduce:
        return ops.mean(each)
    return ops.mean(ops.reshape(each, (ops.shape(each)[0], -1)), axis=-1)  # (B,)


def token_loss(logits: Any, labels: Any, weights: Any = None) -> Any:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is left out."""
    return _cross_entropy(ops.reshape(logits, (-1, logits.shape[-1])), labels, IGNORED, weights)


def choice_loss(logits: Any, labels: Any, weights: Any = None, reduce: bool = True) -> Any:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return _cross_entropy(logits, labels, weights=weights, reduce=reduce)


def span_loss(
    start_logits: Any, end_logits: Any, start_positions: Any, end_positions: Any, weights: Any = None,
    reduce: bool = True,
) -> Any:  # fmt: skip
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and left out.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
        weights: (B,), or a pair of them, for start and end.
        reduce: False for the loss of each window, (B,).
    """
    length = ops.shape(start_logits)[1]
    start, end = (ops.clip(_classes(positions), 0, length) for positions in (start_positions, end_positions))
    of_start, of_end = weights if isinstance(weights, (list, tuple)) else (weights, weights)
    starts = _cross_entropy(start_logits, start, length, of_start, reduce)
    return (starts + _cross_entropy(end_logits, end, length, of_end, reduce)) / 2


def fit_weights(weights: Any, labels: Any) -> Any:
    """Bring weights to the shape of labels: those of rows, (B,), hold for all labels of their row."""
    weights = ops.cast(weights, "float32")
    missing = len(labels.shape) - len(weights.shape)
    if missing > 0:
        weights = ops.reshape(weights, (*ops.shape(weights), *(1,) * missing))
    sizes = zip(weights.shape, labels.shape, strict=missing >= 0)
    if missing < 0 or not all(own in (1, None) or size in (own, None) for own, size in sizes):
        raise InputError(
            f"sample_weight of shape {tuple(weights.shape)} does not go with labels of shape {tuple(labels.shape)}."
        )
    return ops.broadcast_to(weights, ops.shape(labels))


def _cross_entropy(logits: Any, labels: Any, ignored: Any = IGNORED, weights: Any = None, reduce: bool = True) -> Any:
    """Mean over the rows of (R, L) logits whose label is not ``ignored``; NaN if there is none."""
    if weights is not None:
        weights = ops.reshape(fit_weights(weights, labels), (-1,))  # (R,)
    labels = _classes(labels)  # (R,)
    _check_fit(labels, logits.shape[:1], logits)
    numbers, number_to_ignore = concrete(labels), concrete(ignored)
    if numbers is not None:
        check_label_range(numbers, logits.shape[-1], None if number_to_ignore is None else int(number_to_ignore))
    kept = ops.not_equal(labels, ignored)
    each = ops.sparse_categorical_crossentropy(
        ops.where(kept, labels, 0), ops.cast(logits, "float32"), from_logits=True
    )
    kept = ops.cast(kept, "float32")
    each = each * kept if weights is None else each * kept * weights
    return ops.sum(each) / ops.sum(kept) if reduce else each


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
