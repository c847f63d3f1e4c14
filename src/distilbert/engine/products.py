"""Matrix products with weights laid out once, in fp32, bf16 and int8, with the activation fused in.

Legend: T tokens, K input features, M output features, G groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.errors import InputError
from .array_checks import check_array
from .operations import FP32, INPUT_TYPES, INT8, UINT8, Multiplier, Operations, PlainOperations, Product, Quantizer

PLAIN = PlainOperations()


@dataclass(frozen=True)
class ActivationRange:
    """The range of a product's inputs, which says how they become uint8.

    Attributes:
        smoothing: (K,) fp32. Each channel is divided by it, and the weights of the channel are multiplied by it, so
            that channels with large values do not set the scale for all (SmoothQuant, arXiv 2211.10438).
        low: smallest value after smoothing that is kept apart from smaller ones; at most 0.
        high: largest such value; greater than ``low``.
    """

    smoothing: np.ndarray
    low: float
    high: float

    def __post_init__(self) -> None:
        smoothing = check_array("Smoothing", self.smoothing, FP32, (None,))
        if not -math.inf < self.low <= 0 <= self.high < math.inf or not self.low < self.high:
            raise InputError(f"A range must be finite numbers around 0, got {self.low} to {self.high}.")
        factor = self._factor()
        usable = not len(smoothing) or (smoothing.min() > 0 and factor.min() > 0 and factor.max() < math.inf)
        if not usable:
            raise InputError(
                f"Smoothing must be positive, and numbers in fp32 that can be divided by, got "
                f"{float(smoothing.min())} to {float(smoothing.max())} with a range of {self.low} to {self.high}."
            )

    @property
    def scale(self) -> float:
        """Difference between neighbouring integers."""
        return (self.high - self.low) / 255

    @property
    def zero_point(self) -> int:
        """The integer that stands for 0."""
        return round(-self.low / self.scale)

    def quantizer(self) -> Quantizer:
        """Return what turns inputs into integers."""
        return Quantizer(self._factor(), self.zero_point)

    def _factor(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(1 / (self.smoothing * np.float32(self.scale)), np.float32)


@dataclass(frozen=True)
class LinearMap:
    """A linear map with its weight laid out: ``activation(x @ weight.T + bias)``.

    Attributes:
        product: what is computed.
        quantizer: turns inputs in floats into those of the product, for int8.
        operations: what computes it.

    Raises:
        InputError: the weight is not laid out for these operations.
    """

    product: Product
    quantizer: Quantizer | None
    operations: Operations
    _multiply: Multiplier = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_multiply", self.operations.multiplier(self.product))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Compute (T, G * K) -> (T, G * M)."""
        return self._multiply(np.ascontiguousarray(x))


def float_map(
    weight: np.ndarray, bias: np.ndarray, dtype: np.dtype[Any], operations: Operations, activation: str = ""
) -> LinearMap:
    """Return a linear map in fp32 or bf16.

    Args:
        weight: (M, K), or (G, M, K) for G maps side by side.
        bias: (M,) or (G * M,).
        dtype: of weights, inputs and result.
        operations: what computes it; where they do not multiply rows of this size, NumPy does.
        activation: as the config names it; none if empty.
    """
    grouped = _grouped(weight).astype(dtype, copy=False)
    groups, outputs, depth = grouped.shape
    operations = _fitting(operations, INPUT_TYPES[dtype], depth)
    product = Product(operations.lay_out(grouped), groups, outputs, depth, dtype, None, _fp32(bias), activation, dtype)
    return LinearMap(product, None, operations)


def int8_map(
    weight: np.ndarray,
    bias: np.ndarray,
    inputs: ActivationRange,
    dtype: np.dtype[Any],
    operations: Operations,
    activation: str = "",
    results: ActivationRange | None = None,
) -> LinearMap:
    """Return a linear map in int8; the weight is quantized here.

    Args:
        weight: (M, K), in floats.
        bias: (M,).
        inputs: range of the inputs.
        dtype: of the result.
        operations: what computes it; where they do not multiply rows of this size, NumPy does.
        activation: as the config names it; none if empty.
        results: range of the results, if they are to be uint8 too.
    """
    integers, weight_scales = quantize_weight(_fp32(weight) * inputs.smoothing)
    outputs, depth = integers.shape
    operations = _fitting(operations, UINT8, depth)
    factor = _fp32(weight_scales * np.float32(inputs.scale))
    shifted = _fp32(bias) - factor * inputs.zero_point * integers.sum(axis=1, dtype=np.int64).astype(np.float32)
    product = Product(
        operations.lay_out(integers[None]),
        1,
        outputs,
        depth,
        INT8,
        factor,
        _fp32(shifted),
        activation,
        *((dtype, 1.0, 0) if results is None else (UINT8, results.scale, results.zero_point)),
    )
    return LinearMap(product, inputs.quantizer(), operations)


def quantize_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight in int8, (M, K) from -127 to 127, and the scale of each output, (M,)."""
    scales = np.maximum(np.abs(weight).max(axis=1, initial=0), np.float32(1e-12)) / np.float32(127)
    return np.rint(weight / scales[:, None]).astype(np.int8), scales


def _grouped(weight: np.ndarray) -> np.ndarray:
    return weight if weight.ndim == 3 else weight[None]


def _fp32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _fitting(operations: Operations, dtype: np.dtype[Any], depth: int) -> Operations:
    return operations if operations.multiplies(dtype, depth) else PLAIN
