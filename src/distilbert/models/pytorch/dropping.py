"""Attention that drops weights while training on a CPU, where PyTorch's own draws a number for each, one by one.

Legend: C sequences, N heads, L positions, H head dim.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

STEPS = 1 << 16  # a probability is a whole number of these


def attend_dropping(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention with dropout of its weights, in fp32 inside.

    Four draws come from one number of PyTorch's generator, so the same seed drops the same weights.

    Args:
        q: queries (C, N, L, H).
        k: keys (C, N, L, H).
        v: values (C, N, L, H).
        mask: (C, 1, 1, L) True for keys that may be seen; None for all.
        dropout: probability of dropping a weight, above 0 and below 1, to 16 bits.

    Returns:
        (C, N, L, H) in the type of ``q``.
    """
    inside = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        context: Tensor = _Dropping.apply(q.to(inside), k.to(inside), v.to(inside), mask, dropout)  # type: ignore[no-untyped-call]
    return context.to(q.dtype)


class _Dropping(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        ctx.scale = q.shape[-1] ** -0.5
        scores = (q * ctx.scale) @ k.transpose(-1, -2)
        if mask is not None:
            scores.masked_fill_(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        dropped = min(round(dropout * STEPS), STEPS - 1)
        kept = _draw(weights.shape) >= dropped - STEPS // 2
        ctx.raised = STEPS / (STEPS - dropped)
        ctx.save_for_backward(q, k, v, weights, kept)
        return (weights * kept) @ v * ctx.raised

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, kept = ctx.saved_tensors
        gradient = gradient * ctx.raised
        to_v = (weights * kept).transpose(-1, -2) @ gradient
        to_weights = (gradient @ v.transpose(-1, -2)).mul_(kept)
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        return to_scores @ k, to_scores.transpose(-1, -2) @ q, to_v, None, None


def _draw(shape: torch.Size) -> Tensor:
    """Return random 16-bit numbers, lowest to highest all as likely."""
    words = torch.empty((shape.numel() + 3) // 4, dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    return words.view(torch.int16)[: shape.numel()].view(shape)
