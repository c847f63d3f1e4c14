"""The steps of the engine's forward pass, and their plain implementation in NumPy, the twin of the compiled kernels.

Legend: T packed tokens, D dim, N heads, H head dim, W attention width (N * H), R query rows, B sequences,
V vocabulary, P positions, G groups, K input features, M output features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from ..core.errors import InputError
from ..core.schema import LAYER_NORM_EPS
from .array_checks import check_array

FP32, BF16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)
INT8, UINT8, INT64 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int64)
FLOAT_TYPES = (FP32, BF16)  # that hidden states have
INPUT_TYPES = {FP32: FP32, BF16: BF16, INT8: UINT8}  # type of a weight -> type of the inputs that it multiplies
ACTIVATIONS = {  # as a config names it -> what computes it; the order is that of the enum in kernels/finish.h
    "": "none",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}


@dataclass(frozen=True)
class Quantizer:
    """Turns an array into the uint8 input of an int8 product: ``round(x * factor + zero_point)``.

    Attributes:
        factor: (D,) fp32 for each channel: one over the scale and the smoothing of the channel.
        zero_point: the integer that stands for 0.
    """

    factor: np.ndarray
    zero_point: int

    def __post_init__(self) -> None:
        check_array("The factor of a quantizer", self.factor, FP32, (None,) * self.factor.ndim)
        if not 0 <= self.zero_point <= 255 or not np.isfinite(self.factor).all():
            raise InputError(
                f"A quantizer needs finite factors and a zero point from 0 to 255, got {self.zero_point} and factors "
                f"of {self.factor.min()} to {self.factor.max()}."
            )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Quantize (..., D) to uint8 of the same shape."""
        steps = np.rint(x.astype(np.float32) * self.factor + self.zero_point)
        return np.nan_to_num(np.clip(steps, 0, 255)).astype(np.uint8)


@dataclass(frozen=True)
class LayerNormWeights:
    """Weight and bias of a LayerNorm, (D,) each, in fp32."""

    weight: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        check_array("The weight of a LayerNorm", self.weight, FP32, (None,))
        check_array("The bias of a LayerNorm", self.bias, FP32, self.weight.shape)


@dataclass(frozen=True)
class EmbeddingWeights:
    """Embeddings of words (V, D) and of positions (P, D), and the LayerNorm of their sum."""

    words: np.ndarray
    positions: np.ndarray
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

    words: np.ndarray
    positions: np.ndarray
    bias: np.ndarray

    def __post_init__(self) -> None:
        check_array("The bias of projections", self.bias, FP32, (None,))
        width = len(self.bias)
        check_array("Projections of words", self.words, float_type(self.words), (None, width))
        check_array("Projections of positions", self.positions, self.words.dtype, (None, width))


@dataclass(frozen=True)
class SequenceOffsets:
    """Where each sequence begins in the packed rows of queries and of keys: (B + 1,) int64 each."""

    queries: np.ndarray
    keys: np.ndarray

    def __post_init__(self) -> None:
        check_array("Offsets of keys", self.keys, INT64, (None,))
        check_array("Offsets of queries", self.queries, INT64, self.keys.shape)
        for offsets in (self.keys,) if self.queries is self.keys else (self.keys, self.queries):
            if not len(offsets) or offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any():
                raise InputError(f"Offsets must begin with 0 and never fall, got {offsets.tolist()!r:.80}.")


@dataclass(frozen=True)
class Product:
    """The product ``activation(x @ weight.T * factor + bias)``, with its weight laid out by :class:`Operations`.

    With several groups, group ``g`` of the inputs is multiplied by a weight of its own: inputs are (T, G * K), results
    (T, G * M). A weight that is split by heads is such a product.

    Attributes:
        weight: (G, M, K) as :meth:`Operations.lay_out` returned it.
        groups: G.
        outputs: M.
        depth: K.
        dtype: of the weight: fp32, bf16, or int8 for inputs in uint8.
        factor: (G * M,) fp32; None for 1.
        bias: (G * M,) fp32.
        activation: a name of ``ACTIVATIONS``.
        result_dtype: type of the result.
        result_scale: difference between neighbouring values of a result in uint8.
        result_zero_point: the integer that stands for 0 in a result in uint8.
    """

    weight: np.ndarray
    groups: int
    outputs: int
    depth: int
    dtype: np.dtype[Any]
    factor: np.ndarray | None
    bias: np.ndarray
    activation: str
    result_dtype: np.dtype[Any]
    result_scale: float = 1.0
    result_zero_point: int = 0

    def __post_init__(self) -> None:
        check_array("The bias of a product", self.bias, FP32, (self.groups * self.outputs,))
        if self.factor is not None:
            check_array("The factor of a product", self.factor, FP32, (self.groups * self.outputs,))
        if self.dtype not in INPUT_TYPES or self.result_dtype not in (UINT8, *FLOAT_TYPES):
            raise InputError(f"No product takes weights in {self.dtype} and gives {self.result_dtype}.")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"No product ends with {self.activation!r}; known are {', '.join(ACTIVATIONS)}.")
        if not 0 < self.result_scale < math.inf or not 0 <= self.result_zero_point <= 255:
            raise InputError(
                "The results of a product need a positive scale and a zero point from 0 to 255, got "
                f"{self.result_scale} and {self.result_zero_point}."
            )


def float_type(array: np.ndarray) -> np.dtype[Any]:
    """Return the type of an array that must be fp32 or bf16; fp32 for any other, which then is an error."""
    return array.dtype if array.dtype in FLOAT_TYPES else FP32


Multiplier = Callable[[np.ndarray], np.ndarray]


class Operations(Protocol):
    """What the forward pass is made of. Where a ``quantizer`` is passed, the result is returned in uint8 as well."""

    name: str
    layout: str  # names what :meth:`lay_out` returns: weights laid out under another name are of no use

    def embed_norm(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        quantizer: Quantizer | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute ``LayerNorm(words[input_ids] + positions[position_ids])``: (T,) each -> (T, D)."""

    def embed_project(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        slots: np.ndarray,
        contributions: Contributions,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`embed_norm` returns, (T, D), and its projections (T, 3 W).

        ``slots`` (T,) are the rows of ``contributions.words`` that belong to the input ids.
        """

    def add_norm(
        self, x: np.ndarray, y: np.ndarray, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute ``LayerNorm(x + y)`` of (T, D)."""

    def attend(
        self,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        offsets: SequenceOffsets,
        heads: int,
        scale: float,
        quantizer: Quantizer | None,
    ) -> np.ndarray:
        """Attend within each sequence: q (R, W), k and v (T, W) -> (R, W), in uint8 if there is a quantizer."""

    def multiplies(self, dtype: np.dtype[Any], depth: int) -> bool:
        """Say whether :meth:`multiplier` takes inputs of this type with ``depth`` features in a group."""

    def lay_out(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight (G, M, K) in fp32, bf16 or int8 as :meth:`multiplier` reads it."""

    def multiplier(self, product: Product) -> Multiplier:
        """Return what computes a product: (T, G * K) -> (T, G * M). The weights are checked here, once."""


class PlainOperations:
    """All operations in NumPy, for machines that the kernels were not compiled for."""

    name = layout = "numpy"

    def embed_norm(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        quantizer: Quantizer | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :class:`Operations`."""
        words, positions = embeddings.words[input_ids], embeddings.positions[position_ids]
        return self.add_norm(words, positions, embeddings.norm, quantizer)

    def embed_project(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        slots: np.ndarray,
        contributions: Contributions,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Operations`."""
        words, positions = embeddings.words[input_ids], embeddings.positions[position_ids]
        x, _ = self.add_norm(words, positions, embeddings.norm, None)
        factor = _inverse_deviation(words.astype(np.float32) + positions.astype(np.float32))
        sums = contributions.words[slots].astype(np.float32)
        sums += contributions.positions[position_ids].astype(np.float32)
        return x, (sums * factor + contributions.bias).astype(x.dtype)

    def add_norm(
        self, x: np.ndarray, y: np.ndarray, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :class:`Operations`."""
        sums = x.astype(np.float32) + y.astype(np.float32)
        centred = sums - sums.mean(axis=1, keepdims=True)
        out = centred * _inverse_deviation(sums) * norm.weight + norm.bias
        return out.astype(x.dtype), None if quantizer is None else quantizer(out)

    def attend(
        self,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        offsets: SequenceOffsets,
        heads: int,
        scale: float,
        quantizer: Quantizer | None,
    ) -> np.ndarray:
        """See :class:`Operations`."""
        out = np.zeros(q.shape, np.float32)
        for sequence in range(len(offsets.keys) - 1):
            rows = slice(offsets.queries[sequence], offsets.queries[sequence + 1])
            keys = slice(offsets.keys[sequence], offsets.keys[sequence + 1])
            queries, own_keys, values = (_by_head(x, heads) for x in (q[rows], k[keys], v[keys]))
            if queries.shape[1] and own_keys.shape[1]:
                scores = queries @ own_keys.transpose(0, 2, 1)  # (N, R, T)
                weights = np.exp((scores - scores.max(axis=2, keepdims=True)) * np.float32(scale))
                context = weights @ values / weights.sum(axis=2, keepdims=True)  # (N, R, H)
                out[rows] = context.transpose(1, 0, 2).reshape(queries.shape[1], -1)
        return out.astype(q.dtype) if quantizer is None else quantizer(out)

    def multiplies(self, dtype: np.dtype[Any], depth: int) -> bool:
        """See :class:`Operations`: it takes everything."""
        return dtype in INPUT_TYPES.values()

    def lay_out(self, weight: np.ndarray) -> np.ndarray:
        """See :class:`Operations`: (G, K, M) in fp32, which holds every number of the other types exactly."""
        return np.ascontiguousarray(weight.transpose(0, 2, 1), np.float32)

    def multiplier(self, product: Product) -> Multiplier:
        """See :class:`Operations`."""
        return partial(self._multiply, product)

    def _multiply(self, product: Product, x: np.ndarray) -> np.ndarray:
        check_array("Inputs of a product", x, INPUT_TYPES[product.dtype], (None, product.groups * product.depth))
        by_group = x.astype(np.float32).reshape(len(x), product.groups, product.depth).transpose(1, 0, 2)
        by_group = np.ascontiguousarray(by_group)  # else NumPy multiplies without BLAS
        y = (by_group @ product.weight).transpose(1, 0, 2).reshape(len(x), product.groups * product.outputs)
        y = activate(y * (1.0 if product.factor is None else product.factor) + product.bias, product.activation)
        if product.result_dtype != UINT8:
            return y.astype(product.result_dtype)
        return Quantizer(np.array(1 / product.result_scale, np.float32), product.result_zero_point)(y)


def activate(x: np.ndarray, activation: str) -> np.ndarray:
    """Return the activation of fp32 numbers, by a name of ``ACTIVATIONS``."""
    kind = ACTIVATIONS[activation]
    if kind == "gelu":
        return 0.5 * x * (1 + _erf(x * np.float32(0.5**0.5)))
    if kind == "gelu_tanh":
        return x * _sigmoid(x * (x * x * np.float32(0.0713548163) + np.float32(1.59576912)))
    if kind == "silu":
        return x * _sigmoid(x)
    return {"none": x, "relu": np.maximum(x, 0), "tanh": np.tanh(x)}[kind]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    result: np.ndarray = np.where(x < 0, small, np.float32(1)) / (1 + small)
    return result


def _erf(x: np.ndarray) -> np.ndarray:
    """Return the error function, with an error of 2e-7 (Abramowitz and Stegun 7.1.26)."""
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    p = np.full_like(t, 1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        p = p * t + np.float32(coefficient)
    result: np.ndarray = np.copysign(1 - p * t * np.exp(-size * size), x)
    return result


def _inverse_deviation(sums: np.ndarray) -> np.ndarray:
    """Return one over the deviation of each row, (T, 1)."""
    result: np.ndarray = 1 / np.sqrt(sums.var(axis=1, keepdims=True) + np.float32(LAYER_NORM_EPS))
    return result


def _by_head(rows: np.ndarray, heads: int) -> np.ndarray:
    """(T, W) -> (N, T, H) in fp32."""
    return rows.astype(np.float32).reshape(len(rows), heads, rows.shape[1] // heads).transpose(1, 0, 2)
