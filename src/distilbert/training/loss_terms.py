"""Terms of the loss of distillation: over the vocabulary, between hidden states, and between vectors of whole texts.

A term is a sum over tokens, texts or pairs of texts, divided by their number in the whole step. Added up over
micro-batches and processes, such terms are the mean over the step.

The terms over the vocabulary are computed in chunks of tokens to save memory. The forward pass computes the scores of
a chunk, the terms and the gradient of their weighted sum, and then reuses the memory for the next chunk. The backward
pass only scales these gradients.

Shapes: M tokens, C tokens of a chunk, D width of the student, E width of the teacher, V vocabulary, B batch,
S sequence, N relation heads, H width of a relation head. A mask (B, S) is 1 at tokens and 0 at padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.model_checks import IGNORED

PADDING_SCORE = -1e9  # of a relation with padding; exp() of it is 0, and unlike -inf it has a difference


@dataclass(frozen=True)
class VocabularyTerms:
    """The weights of the terms, and the numbers of tokens that their sums are divided by.

    Attributes:
        ce: weight of ``T^2 * mean KL(softmax(t / T) || softmax(s / T))`` (arXiv 1503.02531; 1910.01108, section 3).
        mlm: weight of the cross-entropy of ``softmax(s)`` with the labels.
        mse: weight of the mean over tokens of ``sum over V of (s - t)^2``.
        temperature: T.
        tokens: number of tokens that ce and mse average over, in the whole step.
        masked: number of tokens that mlm averages over, in the whole step.
        chunk: C.
    """

    ce: float = 0.0
    mlm: float = 0.0
    mse: float = 0.0
    temperature: float = 1.0
    tokens: float = 1
    masked: float = 1
    chunk: int = 256


NAMES = ("ce", "mlm", "mse")


def vocabulary_terms(
    student: Tensor,
    student_weight: Tensor,
    student_bias: Tensor,
    labels: Tensor,
    terms: VocabularyTerms,
    teacher: Tensor | None = None,
    teacher_projector: Any = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the weighted sum of the terms over the vocabulary.

    Args:
        student: (M, D) input of the student's projection to the vocabulary; it gets a gradient.
        student_weight: (V, D) of that projection.
        student_bias: (V,).
        labels: (M,) ids, or -100 for tokens that the mlm term ignores.
        terms: weights and counts.
        teacher: (M, E) input of the teacher's projection, for ce and mse.
        teacher_projector: the teacher's projection, a module from (C, E) to (C, V).

    Returns:
        The weighted sum, and each term by name, without its weight and without gradient.
    """
    total, values = _ChunkedTerms.apply(
        student, student_weight, student_bias, labels, terms, teacher, teacher_projector
    )
    return total, {name: values[index] for index, name in enumerate(NAMES) if getattr(terms, name)}


class _ChunkedTerms(torch.autograd.Function):
    """Terms and gradients in one pass; see :func:`vocabulary_terms`."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        weight: Tensor,
        bias: Tensor,
        labels: Tensor,
        terms: VocabularyTerms,
        teacher: Tensor | None,
        projector: Any,
    ) -> tuple[Tensor, Tensor]:
        # Matrix products use the type of autocast; sums and exponentials use fp32, or float64 for float64 inputs.
        device = student.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else student.dtype
        exact = torch.promote_types(student.dtype, torch.float32)
        needs_gradient = any(ctx.needs_input_grad[:3])
        with torch.autocast(device, enabled=False):
            hidden, matrix, offset = student.to(low), weight.to(low), bias.to(low)
            tokens, size = len(student), len(weight)
            d_hidden = torch.empty_like(hidden) if needs_gradient else None
            d_matrix = (
                torch.zeros(size, hidden.shape[1], dtype=exact, device=student.device) if needs_gradient else None
            )
            d_offset = torch.zeros(size, dtype=exact, device=student.device) if needs_gradient else None
            values = torch.zeros(len(NAMES), dtype=exact, device=student.device)
            buffers = _Buffers(min(terms.chunk, tokens), size, low, exact, student.device)
            for start in range(0, tokens, terms.chunk):
                chunk = slice(start, min(start + terms.chunk, tokens))
                scores = buffers.scores(hidden[chunk], matrix, offset)  # (C, V)
                teacher_scores = None if teacher is None else projector(teacher[chunk]).to(exact)  # (C, V)
                gradient = _add_chunk(scores, teacher_scores, labels[chunk], terms, values, buffers)
                if d_hidden is not None and d_matrix is not None and d_offset is not None:
                    d_offset += gradient.sum(0)
                    gradient = gradient.to(low)
                    torch.mm(gradient, matrix, out=d_hidden[chunk])
                    if low == exact:
                        d_matrix.addmm_(gradient.t(), hidden[chunk])
                    else:
                        d_matrix += gradient.t() @ hidden[chunk]
        weights = values.new_tensor([terms.ce, terms.mlm, terms.mse])
        if d_hidden is not None and d_matrix is not None and d_offset is not None:
            ctx.save_for_backward(d_hidden.to(student.dtype), d_matrix.to(weight.dtype), d_offset.to(bias.dtype))
        ctx.mark_non_differentiable(values)
        return (values * weights).sum(), values

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_matrix, d_offset = ctx.saved_tensors
        return d_hidden * outputs[0], d_matrix * outputs[0], d_offset * outputs[0], None, None, None, None


class _Buffers:
    """Memory for the scores of a chunk; allocating it for every chunk would take as long as the arithmetic."""

    def __init__(self, rows: int, size: int, low: torch.dtype, exact: torch.dtype, device: torch.device) -> None:
        self._low = torch.empty(rows, size, dtype=low, device=device)
        self._exact = self._low if low == exact else torch.empty(rows, size, dtype=exact, device=device)
        self._second = torch.empty(rows, size, dtype=exact, device=device)

    def scores(self, hidden: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
        """(C, V) scores of (C, D) vectors."""
        rows = len(hidden)
        torch.addmm(offset, hidden, matrix.t(), out=self._low[:rows])
        if self._exact is not self._low:
            self._exact[:rows].copy_(self._low[:rows])
        return self._exact[:rows]

    def second(self, rows: int) -> Tensor:
        """(C, V) for another result, with undefined content."""
        return self._second[:rows]


def _add_chunk(
    s: Tensor, t: Tensor | None, labels: Tensor, terms: VocabularyTerms, values: Tensor, buffers: _Buffers
) -> Tensor:
    """Add the terms of a chunk to ``values`` (3,) and return the gradient (C, V) of their weighted sum.

    Args:
        s: scores of the student (C, V); overwritten.
        t: scores of the teacher (C, V), or None; overwritten.
        labels: (C,).
        terms: weights and counts.
        values: sums of ce, mlm and mse so far.
        buffers: memory to work in.
    """
    masked, masked_gradient = None, None
    if terms.mlm:
        masked = (labels != IGNORED).nonzero().flatten()
        targets = labels[masked]
        log_p = s[masked].log_softmax(dim=-1)
        rows = torch.arange(len(masked), device=s.device)
        values[1] -= log_p[rows, targets].sum() / terms.masked
        masked_gradient = log_p.exp_()
        masked_gradient[rows, targets] -= 1
        masked_gradient *= terms.mlm / terms.masked
    if t is None:
        gradient = s.zero_()
    else:
        T = terms.temperature
        difference = torch.sub(t, s, out=buffers.second(len(s)))
        if terms.mse:
            values[2] += difference.square().sum() / terms.tokens
        if terms.ce:
            # KL = sum of p_t (t - s) / T, minus the difference of the two log-normalisers.
            p_s, log_z_s = _softmax(s.div_(T))
            p_t, log_z_t = _softmax(t.div_(T))
            divergence = torch.linalg.vecdot(p_t, difference) / T + log_z_s - log_z_t  # (C,)
            values[0] += T**2 * divergence.sum() / terms.tokens
            gradient = p_s.sub_(p_t).mul_(terms.ce * T / terms.tokens)
        else:
            gradient = s.zero_()
        if terms.mse:
            gradient.add_(difference, alpha=-2 * terms.mse / terms.tokens)
    if masked is not None and masked_gradient is not None:
        gradient.index_add_(0, masked, masked_gradient)
    return gradient


def _softmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """Turn scores (C, V) into probabilities in place; return these and the log-normalisers (C,).

    The normaliser follows from the most likely id, ``log z = x - log p``, whose p is at least 1 / V.
    """
    top = x.amax(dim=-1)
    p = torch.softmax(x, dim=-1, out=x)
    return p, top - p.amax(dim=-1).log()


@torch.no_grad()
def held_out_terms(
    student: Tensor, projector: Any, labels: Tensor, teacher: Tensor | None, teacher_projector: Any, chunk: int
) -> Tensor:
    """Compare the student with the labels and the teacher, without gradients.

    Args:
        student: (M, D) input of the student's projection.
        projector: that projection, (C, D) to (C, V).
        labels: (M,) ids.
        teacher: (M, E) input of the teacher's projection, or None.
        teacher_projector: that projection.
        chunk: C.

    Returns:
        (4,) float64 sums over the tokens: the student's cross-entropy with the labels, the teacher's, the divergence
        ``KL(teacher || student)`` in nats, and how often both rank the same id first.
    """
    sums = torch.zeros(4, dtype=torch.float64)
    for start in range(0, len(student), chunk):
        tokens = slice(start, start + chunk)
        log_s = F.log_softmax(projector(student[tokens]).float(), dim=-1)
        sums[0] += F.nll_loss(log_s, labels[tokens], reduction="sum").item()
        if teacher is not None:
            log_t = F.log_softmax(teacher_projector(teacher[tokens]).float(), dim=-1)
            sums[1] += F.nll_loss(log_t, labels[tokens], reduction="sum").item()
            sums[2] += F.kl_div(log_s, log_t, reduction="sum", log_target=True).item()
            sums[3] += (log_s.argmax(-1) == log_t.argmax(-1)).sum().item()
    return sums


def cosine_term(student: Tensor, teacher: Tensor, count: float, mask: Tensor | None = None) -> Tensor:
    """``mean of 1 - cos(h_s, h_t)`` over tokens (arXiv 1910.01108, section 3).

    Args:
        student: last hidden states (B, S, D).
        teacher: the teacher's (B, S, D).
        count: tokens of the step.
        mask: (B, S); None: there is no padding.
    """
    student, teacher = _rows(student, mask), _rows(teacher, mask)
    return (1 - F.cosine_similarity(_full_precision(student), _full_precision(teacher), dim=-1)).sum() / count


def hidden_term(student: Tensor, teacher: Tensor, count: float, mask: Tensor | None = None) -> Tensor:
    """``mean of (h_s - h_t)^2`` over tokens and width: hidden states of one pair of layers (arXiv 1909.10351, eq. 8).

    Args:
        student: hidden states (B, S, D), projected to the teacher's width where widths differ.
        teacher: the teacher's (B, S, D).
        count: tokens of the step.
        mask: (B, S); None: there is no padding.
    """
    student, teacher = _rows(student, mask), _rows(teacher, mask)
    return (_full_precision(student) - _full_precision(teacher)).square().mean(dim=-1).sum() / count


def _rows(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vectors of tokens (M, D), or all vectors (B, S, D) where there is no padding."""
    return x if mask is None else x[mask.bool()]


def relation_term(student: Tensor, teacher: Tensor, heads: int, count: float, mask: Tensor | None = None) -> Tensor:
    """``mean of KL(R_t || R_s)`` over heads and tokens, ``R = softmax(X X^T / sqrt(H))`` (arXiv 2012.15828, sec. 3.1).

    Args:
        student: queries, keys or values (B, S, D) of one layer.
        teacher: the teacher's, (B, S, any width).
        heads: N; both widths, which may differ, are multiples of it.
        count: tokens of the step.
        mask: (B, S); None: there is no padding.
    """
    log_student, log_teacher = _log_relations(student, heads, mask), _log_relations(teacher, heads, mask)
    if mask is None:
        return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) / (heads * count)
    divergence = F.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=-1)  # (B, N, S)
    return (divergence * mask[:, None]).sum() / (heads * count)


def _log_relations(x: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    x = x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, N, S, H)
    scores = _full_precision(x @ x.transpose(-1, -2) * x.shape[-1] ** -0.5)  # (B, N, S, S)
    if mask is not None:
        scores = scores.masked_fill(~mask.bool()[:, None, None], PADDING_SCORE)
    return scores.log_softmax(dim=-1)


def pool(hidden: Tensor, mask: Tensor | None, pooling: str = "mean") -> Tensor:
    """Return a vector of each text: the mean of its tokens' vectors, or the first one ("cls").

    Args:
        hidden: last hidden states (B, S, D).
        mask: (B, S); None: there is no padding.
        pooling: ``"mean"`` or ``"cls"``.

    Returns:
        (B, D), in fp32 or wider.
    """
    hidden = _full_precision(hidden)
    if pooling == "cls":
        return hidden[:, 0]
    if mask is None:
        return hidden.mean(dim=1)
    weights = mask.to(hidden.dtype)[..., None]  # (B, S, 1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def pooled_term(student: Tensor, teacher: Tensor, count: float) -> Tensor:
    """``mean of 1 - cos(v_s, v_t)`` over texts, which is half the squared distance of the normalized vectors.

    Making a student's vectors equal a teacher's is the objective of arXiv 2004.09813, section 3, there by the squared
    distance and between languages.

    Args:
        student: pooled vectors (B, E), projected to the teacher's width where widths differ.
        teacher: the teacher's (B, E).
        count: texts of the step.
    """
    return (1 - F.cosine_similarity(student, teacher, dim=-1)).sum() / count


def similarity_term(student: Tensor, teacher: Tensor, count: float) -> Tensor:
    """``mean of (cos(v_s, w_s) - cos(v_t, w_t))^2`` over ordered pairs of different texts of a micro-batch.

    Keeping the similarities of a batch is the objective of arXiv 1907.09682; widths may differ.

    Args:
        student: pooled vectors (B, D).
        teacher: the teacher's (B, any width).
        count: ordered pairs of the step, each within a micro-batch.
    """
    return (similarities(student) - similarities(teacher)).square().sum() / count


def similarities(vectors: Tensor) -> Tensor:
    """Return the cosines of all pairs of (B, D) vectors: (B, B), with a diagonal of exactly 1."""
    # Autocast would round the cosines to half precision, whose steps are as large as the differences that matter.
    with torch.autocast(vectors.device.type, enabled=False):
        normalized = F.normalize(_full_precision(vectors), dim=-1)
        cosines = normalized @ normalized.t()
    return cosines.masked_fill(torch.eye(len(vectors), dtype=torch.bool, device=vectors.device), 1.0)


def _full_precision(x: Tensor) -> Tensor:
    """Half-precision numbers become fp32, because sums of many lose too much otherwise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
