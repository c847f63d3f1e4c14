"""Matrix products with weights prepared once, in fp32, bf16 and int8, with the activation fused in.

:func:`float_product` and :func:`int8_product` choose who multiplies: our kernel, oneDNN, or PyTorch's own operators.

Legend: T tokens, K input features, M output features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError
from .array_checks import check_array
from .operations import Operations, PackedProduct, Quantizer, pack_weight
from .precision import has_bf16

EXPECTED_ROWS = 1024  # number of tokens that oneDNN lays weights out for; any number runs
KERNEL_MAX_ROWS = 16  # up to here reading the weights takes the time, and our kernel is faster than AMX through oneDNN
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}
ONEDNN_ACTIVATIONS = {  # activation of a config -> oneDNN's name and algorithm
    "": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_fast": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
    "tanh": ("tanh", ""),
}


@dataclass(frozen=True)
class ActivationRange:
    """The range of a product's inputs, which says how they become uint8.

    Attributes:
        smoothing: (K,) fp32. Each channel is divided by it, and the weights of the channel are multiplied by it, so
            that channels with large values do not set the scale for all (SmoothQuant, arXiv 2211.10438).
        low: smallest value after smoothing that is kept apart from smaller ones; at most 0.
        high: largest such value; greater than ``low``.
    """

    smoothing: Tensor
    low: float
    high: float

    def __post_init__(self) -> None:
        smoothing = check_array("Smoothing", self.smoothing, torch.float32, (None,))
        if not -math.inf < self.low <= 0 <= self.high < math.inf or not self.low < self.high:
            raise InputError(f"A range must be finite numbers around 0, got {self.low} to {self.high}.")
        if len(smoothing) and not (
            0 < smoothing.min() <= smoothing.max() < math.inf and torch.isfinite(1 / (smoothing * self.scale)).all()
        ):
            raise InputError(
                f"Smoothing must be positive, and no smaller than a number in fp32 can be divided by, got "
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
        return Quantizer((1 / (self.smoothing * self.scale)).contiguous(), self.zero_point)


class Product(Protocol):
    """``activation(x @ weight.T + bias)``. A product in int8 has the ``quantizer`` that makes its inputs."""

    quantizer: Quantizer | None

    def __call__(self, x: Tensor) -> Tensor:
        """Compute (T, K) -> (T, M)."""


def float_product(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "", operations: Operations | None = None
) -> Product:
    """Return a product in fp32 or bf16: by our kernel, else by oneDNN, else by PyTorch's operators.

    Args:
        weight: (M, K).
        bias: (M,).
        dtype: of weights, inputs and result.
        activation: as the config names it; none if empty.
        operations: may have a kernel for the product; None leaves it out.
    """
    kernel = None
    if operations is not None and activation in ("", "gelu") and operations.multiplies(dtype, weight.shape[1]):
        cast = weight.to(dtype)
        packed = PackedProduct(pack_weight(cast), len(cast), dtype, None, bias.float(), activation == "gelu", dtype)
        kernel = KernelProduct(packed, None, operations)
    fallback = OnednnProduct if _onednn_multiplies(dtype) else PytorchProduct
    return _fastest(kernel, lambda: fallback(weight, bias, dtype, activation), dtype)


def _onednn_multiplies(dtype: torch.dtype) -> bool:
    """Say whether oneDNN prepares weights of this type on this CPU. AVX2 alone is not enough for bf16."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    return dtype != torch.bfloat16 or has_bf16()


def _fastest(kernel: Product | None, fallback: Callable[[], Product], dtype: torch.dtype) -> Product:
    """Return the kernel's product if there is one, else the fallback; both where only oneDNN uses the CPU's AMX."""
    if kernel is None:
        return fallback()
    amx = dtype != torch.float32 and torch.cpu._is_amx_tile_supported()
    return ProductByRows(kernel, fallback()) if amx else kernel


class KernelProduct:
    """A product by our kernel.

    Args:
        packed: the product.
        quantizer: of its inputs, for int8.
        operations: those that have the kernel.
    """

    def __init__(self, packed: PackedProduct, quantizer: Quantizer | None, operations: Operations) -> None:
        self._packed, self.quantizer, self._operations = packed, quantizer, operations

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        return self._operations.multiply(x.contiguous(), self._packed)


class ProductByRows:
    """The same product twice: one that is fast for few rows, and one that is fast for many."""

    def __init__(self, few: Product, many: Product) -> None:
        self._few, self._many = few, many
        self.quantizer = many.quantizer

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        return self._few(x) if len(x) <= KERNEL_MAX_ROWS else self._many(x)


class ProductModule(nn.Module):
    """A product in place of a linear map in the head of a PyTorch model."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        """Compute (T, K) -> (T, M)."""
        return self.product(x)


class PytorchProduct:
    """A product in fp32 or bf16 by PyTorch's own operators, for any CPU. Arguments as in :class:`OnednnProduct`."""

    quantizer: Quantizer | None = None

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "") -> None:
        self._weight, self._bias = weight.to(dtype).contiguous(), bias.to(dtype)
        self._activation = ACTIVATIONS[activation] if activation else None

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        result = F.linear(x, self._weight, self._bias)
        return result if self._activation is None else self._activation(result)


class OnednnProduct:
    """A product in fp32 or bf16 by oneDNN.

    Args:
        weight: (M, K).
        bias: (M,).
        dtype: of weights, inputs and result.
        activation: as the config names it; none if empty.
    """

    quantizer: Quantizer | None = None

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "") -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), EXPECTED_ROWS)
        self._bias = bias.to(dtype)
        self._activation = ONEDNN_ACTIVATIONS[activation]

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        name, algorithm = self._activation
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, name, [], algorithm)
        return result


class OnednnInt8Product:
    """A product in int8 by oneDNN. Inputs are uint8 with one scale, weights int8 with a scale for each output.

    Args:
        weight: (M, K) int8, and weight_scales: (M,), as :func:`quantize_weight` returns them.
        bias: (M,).
        inputs: range of the inputs.
        dtype: of the result.
        activation: as the config names it; none if empty.
        results: range of the results, if they are to be uint8 too.
    """

    def __init__(
        self,
        weight: Tensor,
        weight_scales: Tensor,
        bias: Tensor,
        inputs: ActivationRange,
        dtype: torch.dtype,
        activation: str,
        results: ActivationRange | None,
    ) -> None:
        self.quantizer: Quantizer | None = inputs.quantizer()
        self._input_scale, self._input_zero_point = inputs.scale, inputs.zero_point
        self._weight_scales = weight_scales
        self._weight = torch.ops.onednn.qlinear_prepack(weight, [EXPECTED_ROWS, weight.shape[1]])
        self._weight_zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = bias.float()
        self._dtype = dtype if results is None else torch.uint8
        self._result = (1.0, 0) if results is None else (results.scale, results.zero_point)
        self._activation = ONEDNN_ACTIVATIONS[activation]

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`; ``x`` is uint8."""
        name, algorithm = self._activation
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, self._input_scale, self._input_zero_point, self._weight, self._weight_scales, self._weight_zero_points,
            self._bias, *self._result, self._dtype, name, [], algorithm,
        )  # fmt: skip
        return result


def int8_product(
    weight: Tensor,
    bias: Tensor,
    inputs: ActivationRange,
    dtype: torch.dtype,
    activation: str,
    results: ActivationRange | None,
    operations: Operations,
) -> Product:
    """Return a product in int8, by our kernel or else by oneDNN; the weight is quantized here.

    Args:
        weight: (M, K), in floats.
        bias: (M,).
        inputs: range of the inputs.
        dtype: of the result.
        activation: as the config names it; none if empty.
        results: range of the results, if they are to be uint8 too.
        operations: may have a kernel for the product.
    """
    integers, weight_scales = quantize_weight(weight.float() * inputs.smoothing)
    kernel = None
    if activation in ("", "gelu") and operations.multiplies(torch.uint8, weight.shape[1]):
        factor = weight_scales * inputs.scale
        shifted = bias.float() - factor * inputs.zero_point * integers.float().sum(dim=1)
        result = (dtype, 1.0, 0) if results is None else (torch.uint8, results.scale, results.zero_point)
        packed = PackedProduct(
            pack_weight(integers), len(integers), torch.int8, factor, shifted, activation == "gelu", *result
        )
        kernel = KernelProduct(packed, inputs.quantizer(), operations)
    return _fastest(
        kernel,
        lambda: OnednnInt8Product(integers, weight_scales, bias, inputs, dtype, activation, results),
        torch.uint8,
    )


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight in int8, (M, K) from -127 to 127, and the scale of each output, (M,)."""
    scales = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
    return (weight / scales[:, None]).round().to(torch.int8), scales
