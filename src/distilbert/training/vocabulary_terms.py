"""The terms over the vocabulary, in chunks: scores of all tokens at once would not fit, and need not exist.

The scores of a chunk are computed, turned into the terms and, at once, into the gradient of their weighted sum; then
the next chunk takes their place. The backward pass only hands out what the forward pass has found.

Legend: M tokens that count, C tokens of a chunk, D width of the student, E width of the teacher, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .corpus.masking import IGNORED


@dataclass(frozen=True)
class VocabularyTerms:
    """Which terms are wanted, and what they are divided by.

    Attributes:
        ce: weight of ``T^2 * mean KL(softmax(t / T) || softmax(s / T))`` (arXiv 1503.02531; 1910.01108, section 3).
        mlm: weight of the cross-entropy of ``softmax(s)`` with the labels.
        mse: weight of the mean over tokens of ``sum over V of (s - t)^2``.
        temperature: T.
        tokens: number of tokens in the means of ce and mse, over all passes of a step.
        masked: number of tokens in the mean of mlm.
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
        student: (M, D) vectors that the student's projection turns into scores; gradients flow into them.
        student_weight: (V, D) of that projection.
        student_bias: (V,).
        labels: (M,) ids, or -100 where the mlm term passes over a token.
        terms: weights and counts.
        teacher: (M, E) vectors of the teacher, for ce and mse.
        teacher_projector: the teacher's projection, a module from (C, E) to (C, V).

    Returns:
        The sum, and each term by name, without gradient and without its weight.
    """
    total, values = _Chunked.apply(student, student_weight, student_bias, labels, terms, teacher, teacher_projector)
    wanted = {name: values[index] for index, name in enumerate(NAMES) if getattr(terms, name)}
    return total, wanted


class _Chunked(torch.autograd.Function):
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
        # Matrix products run in the type of autocast, sums and exponentials in fp32 (or float64 if that was given).
        device = student.device.type
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else student.dtype
        exact = torch.promote_types(student.dtype, torch.float32)
        wanted = any(ctx.needs_input_grad[:3])
        with torch.autocast(device, enabled=False):
            hidden, matrix, offset = student.to(low), weight.to(low), bias.to(low)
            tokens, size = len(student), len(weight)
            d_hidden = torch.empty_like(hidden) if wanted else None
            d_matrix = torch.zeros(size, hidden.shape[1], dtype=exact, device=student.device) if wanted else None
            d_offset = torch.zeros(size, dtype=exact, device=student.device) if wanted else None
            values = torch.zeros(len(NAMES), dtype=exact, device=student.device)
            work = _Buffers(min(terms.chunk, tokens), size, low, exact, student.device)
            for start in range(0, tokens, terms.chunk):
                part = slice(start, min(start + terms.chunk, tokens))
                scores = work.scores(hidden[part], matrix, offset)  # (C, V)
                wise = None if teacher is None else projector(teacher[part]).to(exact)  # (C, V)
                gradient = _chunk(scores, wise, labels[part], terms, values, work)
                if d_hidden is not None and d_matrix is not None and d_offset is not None:
                    d_offset += gradient.sum(0)
                    gradient = gradient.to(low)
                    torch.mm(gradient, matrix, out=d_hidden[part])
                    if low == exact:
                        d_matrix.addmm_(gradient.t(), hidden[part])
                    else:
                        d_matrix += gradient.t() @ hidden[part]
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
    """Memory of a chunk, taken once: fresh pages for each chunk would cost as much time as the arithmetic."""

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
        """(C, V) of undefined content."""
        return self._second[:rows]


def _chunk(
    s: Tensor, t: Tensor | None, labels: Tensor, terms: VocabularyTerms, values: Tensor, work: _Buffers
) -> Tensor:
    """Add the terms of a chunk to ``values`` (3,) and return the gradient (C, V); overwrites ``s`` and ``t``."""
    masked, masked_gradient = None, None
    if terms.mlm:
        masked = (labels != IGNORED).nonzero().flatten()
        targets = labels[masked]
        log_p = s[masked].log_softmax(dim=-1)
        at = torch.arange(len(masked), device=s.device)
        values[1] -= log_p[at, targets].sum() / terms.masked
        masked_gradient = log_p.exp_()
        masked_gradient[at, targets] -= 1
        masked_gradient *= terms.mlm / terms.masked
    if t is None:
        gradient = s.zero_()
    else:
        T = terms.temperature
        difference = torch.sub(t, s, out=work.second(len(s)))
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
    """Turn scores (C, V) in place into probabilities; returns these and the log-normalisers (C,).

    The likeliest id tells the normaliser: ``log p = x - log z``, and its p is at least 1 / V.
    """
    top = x.amax(dim=-1)
    p = torch.softmax(x, dim=-1, out=x)
    return p, top - p.amax(dim=-1).log()


@torch.no_grad()
def held_out_terms(
    student: Tensor, projector: Any, labels: Tensor, teacher: Tensor | None, teacher_projector: Any, chunk: int
) -> Tensor:
    """Compare with labels and teacher, without gradients.

    Args:
        student: (M, D) vectors.
        projector: its projection, (C, D) to (C, V).
        labels: (M,) ids.
        teacher: (M, E) vectors, or None.
        teacher_projector: its projection.
        chunk: C.

    Returns:
        (4,) float64 sums over the tokens: cross-entropy with the labels, the teacher's cross-entropy with them, the
        divergence ``KL(teacher || student)`` in nats, and how often both rank the same id first.
    """
    sums = torch.zeros(4, dtype=torch.float64)
    for start in range(0, len(student), chunk):
        part = slice(start, start + chunk)
        log_s = F.log_softmax(projector(student[part]).float(), dim=-1)
        sums[0] += F.nll_loss(log_s, labels[part], reduction="sum").item()
        if teacher is not None:
            log_t = F.log_softmax(teacher_projector(teacher[part]).float(), dim=-1)
            sums[1] += F.nll_loss(log_t, labels[part], reduction="sum").item()
            sums[2] += F.kl_div(log_s, log_t, reduction="sum", log_target=True).item()
            sums[3] += (log_s.argmax(-1) == log_t.argmax(-1)).sum().item()
    return sums
