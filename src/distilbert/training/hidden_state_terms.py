"""Terms of the loss that compare hidden states: the last ones, paired layers, and relations between tokens.

Each function divides the sum over its tokens by ``count``, the number of tokens of the whole step. Added up over
micro-batches and processes, the results are the mean. ``vocabulary_terms.py`` has the terms over the vocabulary.

Shapes: B batch, S sequence, D width, N relation heads, H width of a relation head.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_term(student: Tensor, teacher: Tensor, count: float) -> Tensor:
    """``mean of 1 - cos(h_s, h_t)`` over tokens (arXiv 1910.01108, section 3).

    Args:
        student: last hidden states (B, S, D).
        teacher: the teacher's (B, S, D).
        count: tokens of the step.
    """
    return (1 - F.cosine_similarity(_full_precision(student), _full_precision(teacher), dim=-1)).sum() / count


def hidden_term(student: Tensor, teacher: Tensor, count: float) -> Tensor:
    """``mean of (h_s - h_t)^2`` over tokens and width: hidden states of one pair of layers (arXiv 1909.10351, eq. 8).

    Args:
        student: hidden states (B, S, D), projected to the teacher's width where widths differ.
        teacher: the teacher's (B, S, D).
        count: tokens of the step.
    """
    return (_full_precision(student) - _full_precision(teacher)).square().mean(dim=-1).sum() / count


def relation_term(student: Tensor, teacher: Tensor, heads: int, count: float) -> Tensor:
    """``mean of KL(R_t || R_s)`` over heads and tokens, ``R = softmax(X X^T / sqrt(H))`` (arXiv 2012.15828, sec. 3.1).

    Args:
        student: queries, keys or values (B, S, D) of one layer.
        teacher: the teacher's, (B, S, any width).
        heads: N; both widths, which may differ, are multiples of it.
        count: tokens of the step.
    """
    log_student, log_teacher = _log_relations(student, heads), _log_relations(teacher, heads)  # (B, N, S, S)
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) / (heads * count)


def _log_relations(x: Tensor, heads: int) -> Tensor:
    x = x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, N, S, H)
    scores = x @ x.transpose(-1, -2) * x.shape[-1] ** -0.5  # (B, N, S, S)
    return _full_precision(scores).log_softmax(dim=-1)


def _full_precision(x: Tensor) -> Tensor:
    """Half-precision numbers become fp32, because sums of many lose too much otherwise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
