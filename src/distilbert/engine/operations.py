"""The steps of the engine's forward pass, and their plain implementation in PyTorch, the twin of the compiled kernels.

Legend: T packed tokens, D dim, N heads, H head dim, W attention width (N * H), R query rows, B sequences,
V vocabulary, P positions, K input features, M output features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.schema import LAYER_NORM_EPS

PANEL_OUTPUTS = 48  # output features in one panel of a packed weight; kernels/products.h says why


@dataclass(frozen=True)
class Quantizer:
    """Turns a tensor into the uint8 input of an int8 product: ``round(x * factor + zero_point)``.

    Attributes:
        factor: (D,) fp32 for each channel: one over the scale and the smoothing of the channel.
        zero_point: the integer that stands for 0.
    """

    factor: Tensor
    zero_point: int

    def __call__(self, x: Tensor) -> Tensor:
        """Quantize (..., D) to uint8 of the same shape."""
        return (x.float() * self.factor + self.zero_point).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class LayerNormWeights:
    """Weight and bias of a LayerNorm, (D,) each, in fp32."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class EmbeddingWeights:
    """Embeddings of words (V, D) and of positions (P, D), and the LayerNorm of their sum."""

    words: Tensor
    positions: Tensor
    norm: LayerNormWeights


@dataclass(frozen=True)
class Contributions:
    """What words and positions add to the projections of the first block, before LayerNorm scales the row.

    Attributes:
        words: (slots, 3 W), a row for each word in the cache.
        positions: (P, 3 W).
        bias: (3 W,) fp32.
    """

    words: Tensor
    positions: Tensor
    bias: Tensor


@dataclass(frozen=True)
class SequenceOffsets:
    """Where each sequence begins in the packed rows of queries and of keys: (B + 1,) int64 each."""

    queries: Tensor
    keys: Tensor


@dataclass(frozen=True)
class PackedProduct:
    """The product ``activation(x @ weight.T * factor + bias)``, with its weight laid out for the kernel.

    Attributes:
        panels: (panels, K words, PANEL_OUTPUTS) int32, see :func:`pack_weight`.
        outputs: M.
        dtype: of the weight: fp32, bf16, or int8 for inputs in uint8.
        factor: (M,) fp32; None for 1.
        bias: (M,) fp32.
        gelu: whether GELU follows.
        result_dtype: type of the result.
        result_scale: difference between neighbouring values of a result in uint8.
        result_zero_point: the integer that stands for 0 in a result in uint8.
    """

    panels: Tensor
    outputs: int
    dtype: torch.dtype
    factor: Tensor | None
    bias: Tensor
    gelu: bool
    result_dtype: torch.dtype
    result_scale: float = 1.0
    result_zero_point: int = 0

    def unpacked_weight(self) -> Tensor:
        """Return the weight as it was, (M, K)."""
        return self.panels.transpose(1, 2).flatten(0, 1)[: self.outputs].contiguous().view(self.dtype)


def pack_weight(weight: Tensor) -> Tensor:
    """Lay out a weight (M, K) in panels of PANEL_OUTPUTS output features, (panels, K words, PANEL_OUTPUTS) int32.

    A word is four bytes: one number in fp32, two in bf16, four in int8. The last panel is filled up with zeros.
    """
    words = weight.contiguous().view(torch.int32)
    filled = F.pad(words, (0, 0, 0, -len(words) % PANEL_OUTPUTS))
    return filled.view(-1, PANEL_OUTPUTS, words.shape[1]).transpose(1, 2).contiguous()


class Operations(Protocol):
    """What the forward pass is made of. Where a ``quantizer`` is passed, the result is returned in uint8 as well."""

    name: str

    def embed_norm(
        self, input_ids: Tensor, position_ids: Tensor, embeddings: EmbeddingWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute ``LayerNorm(words[input_ids] + positions[position_ids])``: (T,) each -> (T, D)."""

    def embed_project(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        embeddings: EmbeddingWeights,
        slots: Tensor,
        contributions: Contributions,
    ) -> tuple[Tensor, Tensor]:
        """Return what :meth:`embed_norm` returns, (T, D), and its projections (T, 3 W).

        ``slots`` (T,) are the rows of ``contributions.words`` that belong to the input ids.
        """

    def add_norm(
        self, x: Tensor, y: Tensor, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """Compute ``LayerNorm(x + y)`` of (T, D)."""

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        offsets: SequenceOffsets,
        heads: int,
        scale: float,
        quantizer: Quantizer | None,
    ) -> Tensor:
        """Attend within each sequence: q (R, W), k and v (T, W) -> (R, W), in uint8 if there is a quantizer."""

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """Say whether :meth:`multiply` takes inputs of this type with ``depth`` features."""

    def multiply(self, x: Tensor, product: PackedProduct) -> Tensor:
        """Compute a product: (T, K) -> (T, M)."""


class PlainOperations:
    """All operations in PyTorch's own operators, for machines that the kernels were not compiled for."""

    name = "pytorch"

    def embed_norm(
        self, input_ids: Tensor, position_ids: Tensor, embeddings: EmbeddingWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        words, positions = embeddings.words[input_ids], embeddings.positions[position_ids]
        return self.add_norm(words, positions, embeddings.norm, quantizer)

    def embed_project(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        embeddings: EmbeddingWeights,
        slots: Tensor,
        contributions: Contributions,
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Operations`."""
        x, _ = self.embed_norm(input_ids, position_ids, embeddings, None)
        sums = embeddings.words[input_ids].float() + embeddings.positions[position_ids].float()
        variance = (sums - sums.mean(dim=1, keepdim=True)).square().mean(dim=1, keepdim=True)
        factor = (variance + LAYER_NORM_EPS).rsqrt()
        words, positions = contributions.words[slots].float(), contributions.positions[position_ids].float()
        projected = (words + positions) * factor + contributions.bias
        return x, projected.to(x.dtype)

    def add_norm(
        self, x: Tensor, y: Tensor, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        out = F.layer_norm(x.float() + y.float(), x.shape[-1:], norm.weight, norm.bias, LAYER_NORM_EPS)
        return out.to(x.dtype), None if quantizer is None else quantizer(out)

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        offsets: SequenceOffsets,
        heads: int,
        scale: float,
        quantizer: Quantizer | None,
    ) -> Tensor:
        """See :class:`Operations`."""
        contexts = []
        query_lengths, key_lengths = offsets.queries.diff().tolist(), offsets.keys.diff().tolist()
        sequences = zip(q.split(query_lengths), k.split(key_lengths), v.split(key_lengths), strict=True)
        for sequence in sequences:
            if len(sequence[0]):
                queries, keys, values = (x.unflatten(1, (heads, -1)).transpose(0, 1)[None] for x in sequence)
                context = F.scaled_dot_product_attention(queries, keys, values, scale=scale)  # (1, N, R, H)
                contexts.append(context[0].transpose(0, 1).flatten(1))
        out = torch.cat(contexts) if contexts else q.new_empty(0, q.shape[1])
        return out if quantizer is None else quantizer(out)

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """See :class:`Operations`: never, since oneDNN is faster than :meth:`multiply` here."""
        return False

    def multiply(self, x: Tensor, product: PackedProduct) -> Tensor:
        """See :class:`Operations`."""
        factor = 1.0 if product.factor is None else product.factor
        y = x.float() @ product.unpacked_weight().float().T * factor
        y = F.gelu(y + product.bias) if product.gelu else y + product.bias
        if product.result_dtype != torch.uint8:
            return y.to(product.result_dtype)
        return Quantizer(torch.tensor(1 / product.result_scale), product.result_zero_point)(y)
