"""Dropout of attention weights on a CPU, faster than PyTorch's own, which draws its random numbers one by one.

Legend: C sequences, N heads, L positions, H head dim.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

STEPS = 1 << 16  # a probability is rounded to a multiple of 1 / STEPS


def attend_with_dropout(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Attention with dropout of its weights, in fp32 inside.

    Each number of PyTorch's generator decides about four weights, so the same seed drops the same weights.

    Args:
        q: queries (C, N, L, H).
        k: keys (C, N, L, H).
        v: values (C, N, L, H).
        mask: (C, 1, 1, L) True for keys that may be seen; None for all.
        dropout: probability of dropping a weight, above 0 and below 1, rounded to 16 bits.

    Returns:
        (C, N, L, H) in the type of ``q``.
    """
    precise = torch.promote_types(q.dtype, torch.float32)
    with torch.autocast(q.device.type, enabled=False):
        context: Tensor = _AttentionDropout.apply(q.to(precise), k.to(precise), v.to(precise), mask, dropout)  # type: ignore[no-untyped-call]
    return context.to(q.dtype)


class _AttentionDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
        ctx.scale = q.shape[-1] ** -0.5
        scores = (q * ctx.scale) @ k.transpose(-1, -2)
        if mask is not None:
            scores.masked_fill_(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        dropped = min(round(dropout * STEPS), STEPS - 1)
        kept = _random_int16(weights.shape) >= dropped - STEPS // 2
        ctx.scale_up = STEPS / (STEPS - dropped)
        ctx.save_for_backward(q, k, v, weights, kept)
        return (weights * kept) @ v * ctx.scale_up

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, kept = ctx.saved_tensors
        gradient = gradient * ctx.scale_up
        gradient_v = (weights * kept).transpose(-1, -2) @ gradient
        gradient_weights = (gradient @ v.transpose(-1, -2)).mul_(kept)
        gradient_scores = torch._softmax_backward_data(gradient_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        return gradient_scores @ k, gradient_scores.transpose(-1, -2) @ q, gradient_v, None, None


def _random_int16(shape: torch.Size) -> Tensor:
    """Return random 16-bit integers, each of which is equally likely."""
    words = torch.empty((shape.numel() + 3) // 4, dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    return words.view(torch.int16)[: shape.numel()].view(shape)
