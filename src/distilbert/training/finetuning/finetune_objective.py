"""The objective of fine-tuning: the loss of labels and the loss against a teacher, from packed examples.

Shapes: T tokens of all sequences, B sequences, E examples, R rows that get a loss (examples or tokens), D width, K
scores of a row: labels, choices, tokens that an answer may start or end at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...core.model_checks import IGNORED
from ...core.runner_protocol import pools_mean
from ...data.examples import MULTI, REGRESSION
from ...models.pytorch.packing import Packing
from ..distill_objective import vocabulary_features
from ..loss_terms import VocabularyTerms, vocabulary_terms
from .finetune_config import FinetuneConfig
from .finetune_data import trains_on_text_alone
from .finetune_tasks import finetune_task

PADDING_SCORE = -1e4  # softmax makes it 0; infinite scores would give NaN where student and teacher both have them


class FinetuneObjective(nn.Module):
    """Loss of a model with a head.

    Args:
        student: the model to train.
        config: task, temperature and weight of the teacher.
        problem: kind of text-classification; empty for other tasks.
        teacher: for fill-mask, where every step draws new masks; for other tasks the batches contain its scores.
    """

    def __init__(self, student: Any, config: FinetuneConfig, problem: str, teacher: Any = None) -> None:
        super().__init__()
        self.student = student
        self.finetuning, self.problem = finetune_task(config.task), problem
        self.masks_text = trains_on_text_alone(config.task)
        self.temperature = config.temperature
        self.teacher_weight = config.teacher_weight if config.teacher else 0.0
        self._teacher = (teacher,)  # a tuple hides it from nn.Module

    def forward(
        self,
        input_ids: Tensor,
        lengths: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        teacher_mask: Tensor,
        counts: Mapping[str, float],
        rows: Tensor | None = None,
        sizes: Tensor | None = None,
        teacher_scores: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a micro-batch.

        Args:
            input_ids: (T,) ids of all sequences, end to end.
            lengths: (B,) tokens of each sequence.
            labels: (R, ...) label of each row; see :class:`.finetune_tasks.EncodedExample`.
            label_weights: (R,) weight of each row in the loss of labels; 0 without a label.
            teacher_mask: (R,) 1 for rows that count in the loss against the teacher, else 0.
            counts: sums ``"label_weight"`` and ``"teacher_rows"`` of these two over the whole step.
            rows: (R,) tokens that get a loss, for token-classification and fill-mask.
            sizes: (E,) number of choices of each example, for multiple-choice.
            teacher_scores: scores of the teacher, in the form of the student's.

        Returns:
            The weighted sum of the terms, and each term without its weight: this micro-batch's contributions to the
            means over the step.
        """
        packing = Packing.of_lengths(lengths.tolist(), input_ids.device)
        counts = {name: max(count, 1e-12) for name, count in counts.items()}
        if self.masks_text:
            return self._masked_lm(input_ids, packing, rows, labels, label_weights, counts)
        pools = pools_mean(self.student.head_spec, self.student.config)
        read = None if pools else self.finetuning.head_rows(rows, packing)
        hidden = self.student.distilbert.forward_packed(input_ids, packing, read)
        if pools:
            hidden = packing.means(hidden)
        logits = self.student.head(hidden).float()
        groups = self.finetuning.score_groups(lengths, sizes)
        student = score_matrices(logits, groups)
        teacher = None if teacher_scores is None else score_matrices(teacher_scores, groups)
        targets = self.finetuning.label_columns(labels)
        label_term, teacher_term = logits.new_zeros(()), logits.new_zeros(())
        for index, (scores, target) in enumerate(zip(student, targets, strict=True)):
            label_losses = label_loss(scores, target, self.problem)  # (R,)
            label_term = label_term + (label_losses * label_weights).sum() / len(student)
            if teacher is not None:
                teacher_losses = teacher_loss(scores, teacher[index], self.problem, self.temperature)  # (R,)
                teacher_term = teacher_term + (teacher_losses * teacher_mask).sum() / len(student)
        terms = {"task": label_term / counts["label_weight"]}
        loss = (1 - self.teacher_weight) * terms["task"]
        if self.teacher_weight:
            terms["teacher"] = teacher_term / counts["teacher_rows"]
            loss = loss + self.teacher_weight * terms["teacher"]
        return loss, {name: value.detach() for name, value in terms.items()}

    def _masked_lm(
        self,
        input_ids: Tensor,
        packing: Packing,
        rows: Tensor | None,
        labels: Tensor,
        label_weights: Tensor,
        counts: Mapping[str, float],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the cross-entropy of the masked tokens and the divergence from the teacher on them, in chunks."""
        hidden = self.student.distilbert.forward_packed(input_ids, packing, rows)
        teacher = self._teacher[0]
        teacher_features = None
        if teacher is not None:
            with torch.no_grad():
                teacher_hidden = teacher.distilbert.forward_packed(input_ids, packing, rows)
                teacher_features = vocabulary_features(teacher, teacher_hidden)
        projector = self.student.vocab_projector
        loss, values = vocabulary_terms(
            vocabulary_features(self.student, hidden),
            projector.weight,
            projector.bias,
            torch.where(label_weights > 0, labels, IGNORED),
            VocabularyTerms(
                ce=self.teacher_weight,
                mlm=1 - self.teacher_weight,
                temperature=self.temperature,
                tokens=counts["teacher_rows"],
                masked=counts["label_weight"],
            ),
            teacher_features,
            None if teacher is None else teacher.vocab_projector,
        )
        names = {"task": "mlm", "teacher": "ce"}
        return loss, {name: values[key] for name, key in names.items() if key in values}


def label_loss(scores: Tensor, labels: Tensor, problem: str) -> Tensor:
    """Return the loss of the labels of each row.

    Args:
        scores: (R, K).
        labels: (R,) int64; (R, K) zeros and ones for ``MULTI``; (R,) numbers for ``REGRESSION``.
        problem: ``MULTI`` takes the mean of K binary cross-entropies, ``REGRESSION`` the squared difference, anything
            else the cross-entropy.

    Returns:
        (R,).
    """
    if problem == REGRESSION:
        return (scores.squeeze(-1) - labels) ** 2
    if problem == MULTI:
        return F.binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=-1)
    return F.cross_entropy(scores, labels, reduction="none", ignore_index=IGNORED)


def teacher_loss(scores: Tensor, teacher_scores: Tensor, problem: str, temperature: float) -> Tensor:
    """Return the loss of each row against the teacher (arXiv 1503.02531; 1910.01108, section 3).

    It is ``T^2 KL(softmax(t / T) || softmax(s / T))``; for ``MULTI`` the mean over labels of the same between two
    Bernoulli variables; for ``REGRESSION`` the squared difference.

    Args:
        scores: (R, K) of the student.
        teacher_scores: (R, K) of the teacher.
        problem: as in :func:`label_loss`.
        temperature: T.

    Returns:
        (R,).
    """
    if problem == REGRESSION:
        return (scores - teacher_scores).squeeze(-1) ** 2
    student, teacher = scores / temperature, teacher_scores / temperature
    if problem == MULTI:
        target = teacher.sigmoid()
        cross_entropy = F.binary_cross_entropy_with_logits(student, target, reduction="none")
        entropy = F.binary_cross_entropy_with_logits(teacher, target, reduction="none")
        return temperature**2 * (cross_entropy - entropy).mean(dim=-1)
    log_student, log_teacher = student.log_softmax(dim=-1), teacher.log_softmax(dim=-1)
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(dim=-1)


def score_matrices(scores: Tensor, groups: Tensor | None) -> list[Tensor]:
    """Return scores as matrices (R, K): two for the start and the end of an answer, one for all other tasks.

    Args:
        scores: what a head computes for rows, or in columns for the members of groups.
        groups: number of members of each group; None: the scores are those of rows.
    """
    return [scores] if groups is None else [pad_groups(column, groups) for column in scores.unbind(1)]


def pad_groups(values: Tensor, sizes: Tensor) -> Tensor:
    """Put values (N,) of groups that lie one after another into rows (groups, largest), with ``PADDING_SCORE`` behind.

    Args:
        values: (N,).
        sizes: number of values of each group; they add up to N.
    """
    mask = torch.arange(int(sizes.max()), device=values.device)[None, :] < sizes[:, None]
    return values.new_full(mask.shape, PADDING_SCORE).masked_scatter(mask, values)
