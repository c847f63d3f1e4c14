"""What the engine computes, step by step, and the plain twins of its compiled kernels in PyTorch.

Legend: T packed tokens, D dim, N heads, H head dim, R query rows, B sequences, K input features, M outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.schema import LAYER_NORM_EPS

OUTPUTS = 48  # that a panel of a packed weight holds; products.h says why


@dataclass(frozen=True)
class Quantizer:
    """How a tensor becomes uint8 for an int8 product: ``round(x * factor + zero)``.

    Attributes:
        factor: (D,) fp32 by channel, the inverse of the step times what smooths the channel.
        zero: the number that stands for 0.
    """

    factor: Tensor
    zero: int

    def __call__(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D) uint8."""
        return (x.float() * self.factor + self.zero).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Norm:
    """Gain and shift of a LayerNorm, (D,) in fp32."""

    gain: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Embeddings:
    """Words (V, D), positions (P, D) and the LayerNorm of their sum."""

    words: Tensor
    positions: Tensor
    norm: Norm


@dataclass(frozen=True)
class Contributions:
    """What words and positions add to the projections of the first block, before LayerNorm's factor of a row.

    Attributes:
        words: (slots, 3 W).
        positions: (P, 3 W).
        shift: (3 W,) fp32.
    """

    words: Tensor
    positions: Tensor
    shift: Tensor


@dataclass(frozen=True)
class Spans:
    """Where the sequences' rows begin and end: (B + 1,) int64 offsets."""

    queries: Tensor
    keys: Tensor


@dataclass(frozen=True)
class Packed:
    """A matrix product ``activation(x @ weight.T * factor + shift)``, its weight laid out for the kernel.

    Attributes:
        panels: (P, K words, OUTPUTS) int32, see :func:`pack`.
        outputs: M.
        dtype: of the numbers in a word of the weight: fp32, bf16, or int8 for inputs in uint8.
        factor: (M,) fp32; None for 1.
        shift: (M,) fp32.
        gelu: apply GELU.
        result: type of the result.
        step: of a result in uint8, and zero: the number that stands for 0 in it.
    """

    panels: Tensor
    outputs: int
    dtype: torch.dtype
    factor: Tensor | None
    shift: Tensor
    gelu: bool
    result: torch.dtype
    step: float = 1.0
    zero: int = 0

    def weight(self) -> Tensor:
        """Return the weight as it was, (M, K)."""
        return self.panels.transpose(1, 2).flatten(0, 1)[: self.outputs].contiguous().view(self.dtype)


def pack(weight: Tensor) -> Tensor:
    """Lay out a weight (M, K): OUTPUTS outputs beside each other, word by word of their rows.

    A word is four bytes: one, two or four numbers. Outputs that fill the last panel are zeros.
    """
    words = weight.contiguous().view(torch.int32)
    filled = F.pad(words, (0, 0, 0, -len(words) % OUTPUTS))
    return filled.view(-1, OUTPUTS, words.shape[1]).transpose(1, 2).contiguous()


class Operations(Protocol):
    """The steps between products. ``quantizer`` asks for a uint8 copy of the result beside it."""

    name: str

    def embed_norm(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """``LayerNorm(words[ids] + positions[places])``: ids and places (T,) -> (T, D)."""

    def embed_project(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, slots: Tensor, parts: Contributions
    ) -> tuple[Tensor, Tensor]:
        """The same (T, D), and the projections (T, 3 W): of ids at ``slots`` (T,) of ``parts``."""

    def add_norm(self, x: Tensor, y: Tensor, norm: Norm, quantizer: Quantizer | None) -> tuple[Tensor, Tensor | None]:
        """``LayerNorm(x + y)`` of (T, D)."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, heads: int, scale: float, quantizer: Quantizer | None
    ) -> Tensor:
        """Attention within each sequence: q (R, N * H), k and v (T, N * H) -> (R, N * H), uint8 with a quantizer."""

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """Say whether :meth:`multiply` is there for inputs of a type and a number of features."""

    def multiply(self, x: Tensor, product: Packed) -> Tensor:
        """Multiply rows: (T, K) -> (T, M)."""


class PlainOperations:
    """The twin of the kernels, in PyTorch's own operators, for machines that they were not compiled for."""

    name = "pytorch"

    def embed_norm(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        return self.add_norm(embeddings.words[ids], embeddings.positions[places], embeddings.norm, quantizer)

    def embed_project(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, slots: Tensor, parts: Contributions
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Operations`."""
        x, _ = self.embed_norm(ids, places, embeddings, None)
        sums = embeddings.words[ids].float() + embeddings.positions[places].float()
        variance = (sums - sums.mean(dim=1, keepdim=True)).square().mean(dim=1, keepdim=True)
        factor = (variance + LAYER_NORM_EPS).rsqrt()
        projected = (parts.words[slots].float() + parts.positions[places].float()) * factor + parts.shift
        return x, projected.to(x.dtype)

    def add_norm(self, x: Tensor, y: Tensor, norm: Norm, quantizer: Quantizer | None) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        out = F.layer_norm(x.float() + y.float(), x.shape[-1:], norm.gain, norm.shift, LAYER_NORM_EPS)
        return out.to(x.dtype), None if quantizer is None else quantizer(out)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, heads: int, scale: float, quantizer: Quantizer | None
    ) -> Tensor:
        """See :class:`Operations`."""
        contexts = []
        sizes = [spans.queries.diff().tolist(), spans.keys.diff().tolist(), spans.keys.diff().tolist()]
        for parts in zip(*(x.split(size) for x, size in zip((q, k, v), sizes, strict=True)), strict=True):
            if len(parts[0]):
                queries, keys, values = (part.unflatten(1, (heads, -1)).transpose(0, 1)[None] for part in parts)
                context = F.scaled_dot_product_attention(queries, keys, values, scale=scale)
                contexts.append(context[0].transpose(0, 1).flatten(1))
        out = torch.cat(contexts) if contexts else q.new_empty(0, q.shape[1])
        return out if quantizer is None else quantizer(out)

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """See :class:`Operations`: oneDNN multiplies."""
        return False

    def multiply(self, x: Tensor, product: Packed) -> Tensor:
        """See :class:`Operations`."""
        y = x.float() @ product.weight().float().T * (1.0 if product.factor is None else product.factor)
        y = F.gelu(y + product.shift) if product.gelu else y + product.shift
        if product.result != torch.uint8:
            return y.to(product.result)
        return Quantizer(torch.tensor(1 / product.step), product.zero)(y)
