"""The attention implementations: eager, SDPA, and FlashAttention over packed tokens.

Legend: B batch, S sequence, T packed tokens, N heads, H head dim.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import DeviceError, InputError
from .packing import Packing, attend_packed


def attend_eager(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: float, head_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention written out, which alone can return its maps or scale heads.

    Args:
        q: queries (B, N, S, H).
        k: keys (B, N, S, H).
        v: values (B, N, S, H).
        mask: (B, 1 or N, 1 or S, S) bool, True where a key may be seen; None for all.
        dropout: probability of dropping a weight.
        head_mask: factor for each head, broadcast to (B, N, S, S).

    Returns:
        Contexts (B, N, S, H) and attention maps (B, N, S, S); a row with nothing to see attends to all evenly.
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
    """PyTorch's fused attention; arguments as in :func:`attend_eager`. A row with nothing to see gives zeros."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def attend_flash(q: Tensor, k: Tensor, v: Tensor, packing: Packing, dropout: float) -> Tensor:
    """Attention over packed tokens (T, N, H): FlashAttention where it can run, else its plain twin.

    The ``flash-attn`` package is used where installed, PyTorch's own variable-length kernel otherwise. Both need CUDA
    and fp16 or bf16; the second has no dropout.
    """
    longest = max(packing.lengths, default=0)
    if q.is_cuda and longest > 0 and q.dtype in (torch.float16, torch.bfloat16):
        offsets = packing.offsets
        package = _flash_attn_package()
        if package is not None:
            return package(q, k, v, offsets, offsets, longest, longest, dropout_p=dropout)
        kernel = _torch_varlen()
        if kernel is not None and dropout == 0:
            return kernel(q, k, v, offsets, offsets, longest, longest)
    return attend_packed(q, k, v, packing, dropout)


def require_flash(device: torch.device | None = None) -> None:
    """Check that FlashAttention can run here.

    Raises:
        DeviceError: there is no CUDA GPU, or neither of the two libraries has the kernel.
    """
    if not torch.cuda.is_available() or (device is not None and device.type != "cuda"):
        raise DeviceError(
            "attn_implementation='flash_attention_2' needs a CUDA GPU, and the model is not on one; "
            "use 'sdpa', which is as exact and runs everywhere."
        )
    if _flash_attn_package() is None and _torch_varlen() is None:
        raise DeviceError(
            "attn_implementation='flash_attention_2' needs PyTorch 2.10 or newer or the package flash-attn; use 'sdpa'."
        )


def extend_mask(attention_mask: Tensor | None, batch: int, length: int) -> Tensor | None:
    """Turn an attention mask into a bool one that broadcasts to (B, N, S, S), True where a key may be seen.

    Args:
        attention_mask: (B, S) with 1 for tokens and 0 for padding, or (B, 1 or N, S, S) with 1 where the query of a row
            sees the key of a column; None for no padding.
        batch: B.
        length: S.

    Raises:
        InputError: another shape.
    """
    if attention_mask is None:
        return None
    shape = tuple(attention_mask.shape)
    if shape == (batch, length):
        return attention_mask.bool()[:, None, None, :]
    if len(shape) == 4 and shape[0] == batch and shape[2:] == (length, length):
        return attention_mask.bool()
    raise InputError(
        f"attention_mask must be ({batch}, {length}) or ({batch}, heads, {length}, {length}) to go with the input, "
        f"got {shape}."
    )


def _flash_attn_package() -> Callable[..., Any] | None:
    if importlib.util.find_spec("flash_attn") is None:
        return None
    return getattr(importlib.import_module("flash_attn"), "flash_attn_varlen_func", None)


def _torch_varlen() -> Callable[..., Any] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
