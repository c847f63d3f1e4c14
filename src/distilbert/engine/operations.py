"""The steps of the engine's forward pass, and their plain implementation in PyTorch, the twin of the compiled kernels.

Legend: T packed tokens, D dim, N heads, H head dim, W attention width (N * H), R query rows, B sequences,
V vocabulary, P positions, K input features, M output features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.errors import InputError
from ..core.schema import LAYER_NORM_EPS
from .array_checks import check_array

FLOAT_TYPES = (torch.float32, torch.bfloat16)  # that the kernels compute in
NUMBERS_PER_WORD = {torch.float32: 1, torch.bfloat16: 2, torch.int8: 4}  # type of a weight -> numbers in four bytes
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

    def __post_init__(self) -> None:
        check_array("The factor of a quantizer", self.factor, torch.float32, (None,) * self.factor.dim())
        if not 0 <= self.zero_point <= 255 or not torch.isfinite(self.factor).all():
            raise InputError(
                f"A quantizer needs finite factors and a zero point from 0 to 255, got {self.zero_point} and factors "
                f"of {self.factor.min()} to {self.factor.max()}."
            )

    def __call__(self, x: Tensor) -> Tensor:
        """Quantize (..., D) to uint8 of the same shape."""
        return (x.float() * self.factor + self.zero_point).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class LayerNormWeights:
    """Weight and bias of a LayerNorm, (D,) each, in fp32."""

    weight: Tensor
    bias: Tensor

    def __post_init__(self) -> None:
        check_array("The weight of a LayerNorm", self.weight, torch.float32, (None,))
        check_array("The bias of a LayerNorm", self.bias, torch.float32, tuple(self.weight.shape))


@dataclass(frozen=True)
class EmbeddingWeights:
    """Embeddings of words (V, D) and of positions (P, D), and the LayerNorm of their sum."""

    words: Tensor
    positions: Tensor
    norm: LayerNormWeights

    def __post_init__(self) -> None:
        dim = len(self.norm.weight)
        check_array("Word embeddings", self.words, float_type(self.words), (None, dim))
        check_array("Position embeddings", self.positions, self.words.dtype, (None, dim))


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

    def __post_init__(self) -> None:
        check_array("The bias of projections", self.bias, torch.float32, (None,))
        width = len(self.bias)
        check_array("Projections of words", self.words, float_type(self.words), (None, width))
        check_array("Projections of positions", self.positions, self.words.dtype, (None, width))


@dataclass(frozen=True)
class SequenceOffsets:
    """Where each sequence begins in the packed rows of queries and of keys: (B + 1,) int64 each."""

    queries: Tensor
    keys: Tensor

    def __post_init__(self) -> None:
        check_array("Offsets of keys", self.keys, torch.int64, (None,))
        check_array("Offsets of queries", self.queries, torch.int64, tuple(self.keys.shape))
        for offsets in (self.keys,) if self.queries is self.keys else (self.keys, self.queries):
            if not len(offsets) or int(offsets[0]) != 0 or bool((offsets[1:] < offsets[:-1]).any()):
                raise InputError(f"Offsets must begin with 0 and never fall, got {offsets.tolist()!r:.80}.")


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

    def __post_init__(self) -> None:
        check_array(
            "A packed weight", self.panels, torch.int32, (-(-self.outputs // PANEL_OUTPUTS), None, PANEL_OUTPUTS)
        )
        check_array("The bias of a product", self.bias, torch.float32, (self.outputs,))
        if self.factor is not None:
            check_array("The factor of a product", self.factor, torch.float32, (self.outputs,))
        if self.dtype not in NUMBERS_PER_WORD or self.result_dtype not in (torch.uint8, *FLOAT_TYPES):
            raise InputError(f"No product takes weights in {self.dtype} and gives {self.result_dtype}.")
        if not 0 < self.result_scale < math.inf or not 0 <= self.result_zero_point <= 255:
            raise InputError(
                "The results of a product need a positive scale and a zero point from 0 to 255, got "
                f"{self.result_scale} and {self.result_zero_point}."
            )

    @property
    def depth(self) -> int:
        """K."""
        return self.panels.shape[1] * NUMBERS_PER_WORD[self.dtype]

    def unpacked_weight(self) -> Tensor:
        """Return the weight as it was, (M, K)."""
        return self.panels.transpose(1, 2).flatten(0, 1)[: self.outputs].contiguous().view(self.dtype)


def float_type(array: Tensor) -> torch.dtype:
    """Return the type of an array that must be fp32 or bf16; fp32 for any other, which then is an error."""
    return array.dtype if array.dtype in FLOAT_TYPES else torch.float32


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
