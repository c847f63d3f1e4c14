"""The objective of fine-tuning: packed examples in, a loss out.

Legend: T tokens, B sequences, U examples, R tokens that count, D width, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.examples import MULTI, REGRESSION
from ...models.pytorch.packing import Packing
from ..distill_objective import vocabulary_features
from ..vocabulary_terms import VocabularyTerms, vocabulary_terms
from .finetune_config import FinetuneConfig

ABSENT = -1e4  # a score that no softmax sees; infinite ones turn into NaN where both sides have them


class FinetuneObjective(nn.Module):
    """Loss of a model with a head.

    Args:
        student: what is trained.
        config: task, temperature and weight of the teacher.
        problem: kind of text-classification; empty for other tasks.
        teacher: for fill-mask, whose masks are drawn at every step; other tasks get its scores with the examples.
    """

    def __init__(self, student: Any, config: FinetuneConfig, problem: str, teacher: Any = None) -> None:
        super().__init__()
        self.student = student
        self.task, self.problem = config.task, problem
        self.temperature = config.temperature
        self.part = config.teacher_weight if config.teacher else 0.0
        self._teacher = (teacher,)  # in a tuple it is no submodule

    def forward(
        self,
        input_ids: Tensor,
        lengths: Tensor,
        labels: Tensor,
        weights: Tensor,
        taught: Tensor,
        counts: Mapping[str, float],
        rows: Tensor | None = None,
        sizes: Tensor | None = None,
        wise: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a pass.

        Args:
            input_ids: (T,) ids of all sequences, end to end.
            lengths: (B,) tokens of each.
            labels: of each example, or of each of the R tokens.
            weights: what the loss of each of them weighs; 0 where the label is not known.
            taught: the same for the teacher's loss.
            counts: sums of ``"weight"`` and ``"taught"`` over the step.
            rows: (R,) tokens that count, for token-classification and fill-mask.
            sizes: (U,) choices of each example, for multiple-choice.
            wise: the teacher's scores, as the student's.

        Returns:
            The weighted sum of the terms, and each term without its weight, as parts of the step's means.
        """
        packing = Packing.of_lengths(lengths.tolist(), input_ids.device)
        wanted = packing.offsets[:-1].long() if rows is None and self.task != "question-answering" else rows
        hidden = self.student.distilbert.forward_packed(input_ids, packing, wanted)
        counts = {name: max(count, 1e-12) for name, count in counts.items()}
        if self.task == "fill-mask":
            return self._masked(hidden, input_ids, packing, wanted, labels, weights, counts)
        logits = self.student.head(hidden).float()
        # Each pair of columns: scores (G, K) of the student, and of the teacher.
        if self.task == "question-answering":
            pairs = [
                (grouped(logits[:, side], lengths), None if wise is None else grouped(wise[:, side], lengths))
                for side in (0, 1)
            ]
            targets = [labels[:, 0], labels[:, 1]]
        elif self.task == "multiple-choice":
            assert sizes is not None
            pairs = [(grouped(logits[:, 0], sizes), None if wise is None else grouped(wise[:, 0], sizes))]
            targets = [labels]
        else:
            pairs, targets = [(logits, wise)], [labels]
        task = logits.new_zeros(())
        teacher = logits.new_zeros(())
        for (scores, theirs), target in zip(pairs, targets, strict=True):
            task = task + (label_loss(scores, target, self.problem) * weights).sum() / len(pairs)
            if theirs is not None:
                apart = teacher_loss(scores, theirs, self.problem, self.temperature)
                teacher = teacher + (apart * taught).sum() / len(pairs)
        terms = {"task": task / counts["weight"]}
        if self.part:
            terms["teacher"] = teacher / counts["taught"]
        return self._sum(terms), {name: value.detach() for name, value in terms.items()}

    def _sum(self, terms: Mapping[str, Tensor]) -> Tensor:
        return (1 - self.part) * terms["task"] + (self.part * terms["teacher"] if self.part else 0.0)

    def _masked(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        packing: Packing,
        rows: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        counts: Mapping[str, float],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the masked tokens, and the divergence from the teacher on them, in chunks."""
        teacher = self._teacher[0]
        wise = None
        if teacher is not None:
            with torch.no_grad():
                wise = vocabulary_features(teacher, teacher.distilbert.forward_packed(input_ids, packing, rows))
        labels = torch.where(weights > 0, labels, -100)
        projector = self.student.vocab_projector
        loss, values = vocabulary_terms(
            vocabulary_features(self.student, hidden),
            projector.weight,
            projector.bias,
            labels,
            VocabularyTerms(
                ce=self.part,
                mlm=1 - self.part,
                temperature=self.temperature,
                tokens=counts["taught"],
                masked=counts["weight"],
            ),
            wise,
            None if teacher is None else teacher.vocab_projector,
        )
        names = {"task": "mlm", "teacher": "ce"}
        return loss, {name: values[key] for name, key in names.items() if key in values}


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
