"""The attention implementations: eager, SDPA, and FlashAttention over packed tokens.

Legend: B batch, S sequence, T packed tokens, N heads, H head dim.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import DeviceError
from ...core.model_checks import seen_keys
from .packing import Packing, attend_packed


def attend_eager(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, head_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention step by step: the only one that returns its maps and scales heads.

    Args:
        q: queries (B, N, S, H).
        k: keys (B, N, S, H).
        v: values (B, N, S, H).
        mask: (B, 1 or N, 1 or S, S) bool, True where a query sees a key; None for all.
        dropout: probability of dropping a weight.
        head_mask: factor for each head, broadcast to (B, N, S, S).

    Returns:
        Contexts (B, N, S, H) and attention maps (B, N, S, S); a query that sees no key attends to all evenly.
    """
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # (B, N, S, S)
    if mask is not None:
        # Half of the lowest number: a sum with the lowest may overflow to -inf in fp16, and a row of -inf becomes NaN.
        scores = scores + torch.where(mask, 0.0, torch.finfo(scores.dtype).min / 2).to(scores.dtype)
    weights = F.dropout(scores.softmax(dim=-1), dropout, training=dropout > 0)
    if head_mask is not None:
        weights = weights * head_mask
    return weights @ v, weights


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """PyTorch's fused attention; arguments as in :func:`attend_eager`. A query that sees no key gives zeros."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def attend_flash(q: Tensor, k: Tensor, v: Tensor, packing: Packing, dropout: float) -> Tensor:
    """Attention over packed tokens (T, N, H): FlashAttention where it can run, else its plain twin.

    The ``flash-attn`` package is used where installed, PyTorch's own variable-length kernel otherwise.
    """
    if packing.longest > 0 and flash_takes(q):
        kernel = _flash_attn_package() or attend_varlen
        return kernel(q, k, v, packing.offsets, packing.offsets, packing.longest, packing.longest, dropout_p=dropout)
    return attend_packed(q, k, v, packing, dropout)


def flash_takes(q: Tensor) -> bool:
    """Say whether the FlashAttention kernels can run on ``q`` (T, N, H).

    They need a GPU with compute capability 8.0 (Ampere) or newer, fp16 or bf16, and a head dim that is a multiple of 8
    up to 256.
    """
    head_dim = q.shape[-1]
    fits = q.dtype in (torch.float16, torch.bfloat16) and head_dim % 8 == 0 and head_dim <= 256
    return fits and q.is_cuda and _has_flash(q.device)


def attend_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    offsets_q: Tensor,
    offsets_k: Tensor,
    longest_q: int,
    longest_k: int,
    dropout_p: float = 0.0,
) -> Tensor:
    """PyTorch's own FlashAttention over packed tokens (T, N, H), with gradients; arguments as in ``flash-attn``.

    ``torch.nn.attention.varlen.varlen_attn`` is a layer over the same operation that costs the host more and has no
    dropout.
    """
    operation = torch.ops.aten._flash_attention_forward
    return operation(q, k, v, offsets_q, offsets_k, longest_q, longest_k, dropout_p, False, False)[0]


def require_flash(device: torch.device | None = None) -> None:
    """Check that FlashAttention can run here.

    Raises:
        DeviceError: there is no CUDA GPU, or it is too old for the kernels.
    """
    if not torch.cuda.is_available() or (device is not None and device.type != "cuda"):
        raise DeviceError(
            "attn_implementation='flash_attention_2' needs a CUDA GPU, and the model is not on one; "
            "use 'sdpa', which is as exact and runs everywhere."
        )
    if not _has_flash(device or torch.device("cuda", torch.cuda.current_device())):
        raise DeviceError(
            "attn_implementation='flash_attention_2' needs a GPU of compute capability 8.0 (Ampere) or newer and a "
            "PyTorch built with FlashAttention; use 'sdpa'."
        )


def extend_mask(attention_mask: Tensor | None) -> Tensor | None:
    """Turn an attention mask into a bool one that broadcasts to (B, N, S, S), True where a query sees a key.

    Args:
        attention_mask: (B, S) with 1 for tokens and 0 for padding, or (B, 1 or N, S, S) with 1 where the query of a row
            sees the key of a column; a floating one of four dimensions may also be what is added to the scores, see
            :func:`distilbert.core.model_checks.seen_keys`. None for no padding.
    """
    if attention_mask is None:
        return None
    if attention_mask.dim() == 2:
        return attention_mask.bool()[:, None, None, :]
    return seen_keys(attention_mask, torch.any) if attention_mask.is_floating_point() else attention_mask.bool()


@functools.cache
def _has_flash(device: torch.device) -> bool:
    built = torch.backends.cuda.is_flash_attention_available() or _flash_attn_package() is not None
    return built and torch.cuda.get_device_capability(device) >= (8, 0)


@functools.cache
def _flash_attn_package() -> Callable[..., Any] | None:
    if importlib.util.find_spec("flash_attn") is None:
        return None
    return getattr(importlib.import_module("flash_attn"), "flash_attn_varlen_func", None)
