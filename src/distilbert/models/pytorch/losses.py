"""The losses of the five heads.

Legend: B batch, C choices, S sequence, V vocabulary, L labels. Each returns a scalar, a mean over what counts.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

IGNORED = -100


def sequence_classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Loss of a sequence classifier.

    Args:
        logits: (B, L).
        labels: (B,) integers for one label a sequence, (B, L) floats for several, (B,) or (B, L) numbers to regress on.
        problem_type: which of the three; None decides by the labels: one label is regression, integers are one label a
            sequence, anything else is several.
    """
    width = logits.shape[-1]
    if problem_type is None:
        integers = not labels.is_floating_point()
        several = "single_label_classification" if integers else "multi_label_classification"
        problem_type = "regression" if width == 1 else several
    if problem_type == "regression":
        return F.mse_loss(logits.reshape(labels.shape), labels.to(logits.dtype))
    if problem_type == "single_label_classification":
        return F.cross_entropy(logits, labels.reshape(-1))
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of (B, S, L) or (B, S, V) logits against (B, S) labels; -100 is passed over."""
    return F.cross_entropy(logits.flatten(0, 1), labels.reshape(-1), ignore_index=IGNORED)


def choice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of (B, C) logits against (B,) indices of the right choice."""
    return F.cross_entropy(logits, labels.reshape(-1))


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Mean of the cross-entropies of start and end.

    Positions outside the window are moved to S and passed over.

    Args:
        start_logits: (B, S).
        end_logits: (B, S).
        start_positions: (B,) or (B, 1) index of the first token of the answer.
        end_positions: (B,) or (B, 1) index of its last token.
    """
    length = start_logits.shape[1]
    start, end = (positions.reshape(-1).clamp(0, length) for positions in (start_positions, end_positions))
    start_loss = F.cross_entropy(start_logits, start, ignore_index=length)
    end_loss = F.cross_entropy(end_logits, end, ignore_index=length)
    return (start_loss + end_loss) / 2
