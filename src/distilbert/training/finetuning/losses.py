"""The losses of fine-tuning, as parts of a step's mean: of the labels, and of what a teacher says.

Each takes rows of scores and gives a loss a row; the objective weighs and adds them up.

Legend: G rows, K scores of a row: labels, choices, or the tokens that an answer may begin at.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.examples import MULTI, REGRESSION

ABSENT = -1e4  # a score that no softmax sees; infinite ones turn into NaN where both sides have them


def label_loss(scores: Tensor, labels: Tensor, problem: str) -> Tensor:
    """Loss of the labels.

    Args:
        scores: (G, K).
        labels: (G,) int64; (G, K) zeros and ones for ``MULTI``; (G,) numbers for ``REGRESSION``.
        problem: ``MULTI`` takes the mean of K binary cross-entropies, ``REGRESSION`` the squared difference, anything
            else the cross-entropy.

    Returns:
        (G,).
    """
    if problem == REGRESSION:
        return (scores.squeeze(-1) - labels) ** 2
    if problem == MULTI:
        return F.binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=-1)
    return F.cross_entropy(scores, labels, reduction="none", ignore_index=-100)


def teacher_loss(scores: Tensor, wise: Tensor, problem: str, temperature: float) -> Tensor:
    """Loss of a student against its teacher (arXiv 1503.02531; 1910.01108, section 3).

    ``T^2 KL(softmax(t / T) || softmax(s / T))``; for ``MULTI`` the mean over labels of the same between two Bernoulli
    variables; for ``REGRESSION`` the squared difference.

    Args:
        scores: (G, K) of the student.
        wise: (G, K) of the teacher.
        problem: as in :func:`label_loss`.
        temperature: T.

    Returns:
        (G,).
    """
    if problem == REGRESSION:
        return (scores - wise).squeeze(-1) ** 2
    mine, theirs = scores / temperature, wise / temperature
    if problem == MULTI:
        target = theirs.sigmoid()
        crossed = F.binary_cross_entropy_with_logits(mine, target, reduction="none")
        entropy = F.binary_cross_entropy_with_logits(theirs, target, reduction="none")
        return temperature**2 * (crossed - entropy).mean(dim=-1)
    log_student, log_teacher = mine.log_softmax(dim=-1), theirs.log_softmax(dim=-1)
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(dim=-1)


def grouped(values: Tensor, sizes: Tensor) -> Tensor:
    """Put values (N,) that lie group after group into rows (G, largest); what is beyond a group is ``ABSENT``."""
    mask = torch.arange(int(sizes.max()), device=values.device)[None, :] < sizes[:, None]
    return values.new_full(mask.shape, ABSENT).masked_scatter(mask, values)
