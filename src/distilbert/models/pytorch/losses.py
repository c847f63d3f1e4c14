"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels. Each loss is a scalar, the mean over the labels
that are not left out. It is computed in float32, or in float64 where the logits are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.model_checks import (
    IGNORED,
    check_class_labels,
    check_label_range,
    check_labels,
    check_tensor,
    pick_problem_type,
)
from .arrays import to_numpy


def sequence_classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None for what :func:`distilbert.core.model_checks.pick_problem_type` picks.
    """
    check_tensor("labels", labels, isinstance(labels, Tensor), "pt")
    problem_type = pick_problem_type(problem_type, logits.shape[-1], integers=not labels.is_floating_point())
    if problem_type == "single_label_classification":
        return _cross_entropy(logits, labels)
    logits = _at_least_float32(logits)
    labels = labels.to(logits.dtype)
    if problem_type == "regression":
        check_labels(tuple(labels.shape), tuple(logits.shape), labels.numel() == logits.numel())
        return F.mse_loss(logits.reshape(labels.shape), labels)
    check_labels(tuple(labels.shape), tuple(logits.shape), labels.shape == logits.shape)
    return F.binary_cross_entropy_with_logits(logits, labels)


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is left out."""
    return _cross_entropy(logits.flatten(0, 1), labels)


def choice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return _cross_entropy(logits, labels)


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and left out.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
    """
    for name, positions in (("start_positions", start_positions), ("end_positions", end_positions)):
        check_tensor(name, positions, isinstance(positions, Tensor), "pt")
    length = start_logits.shape[1]
    start, end = (positions.clamp(0, length) for positions in (start_positions, end_positions))
    return (_cross_entropy(start_logits, start, length) + _cross_entropy(end_logits, end, length)) / 2


def _cross_entropy(logits: Tensor, labels: Tensor, ignored: int = IGNORED) -> Tensor:
    """Mean over the rows of (R, L) logits whose label is not ``ignored``; NaN if there is none."""
    check_tensor("labels", labels, isinstance(labels, Tensor), "pt")
    labels = labels.reshape(-1)  # (R,)
    check_labels(tuple(labels.shape), tuple(logits.shape), labels.shape == logits.shape[:1])
    logits = _at_least_float32(logits)
    integers = not labels.is_floating_point() and labels.dtype != torch.bool
    check_class_labels(integers, str(labels.dtype).removeprefix("torch."))
    if torch.compiler.is_compiling():
        return F.cross_entropy(logits, labels.long(), ignore_index=ignored)
    try:
        return F.cross_entropy(logits, labels.long(), ignore_index=ignored)
    except IndexError:
        check_label_range(to_numpy(labels), logits.shape[-1], ignored)
        raise


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
