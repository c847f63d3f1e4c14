"""Matrix products with weights laid out once: fp32, bf16 and int8, with what follows them fused in.

Legend: T tokens, K input features, M output features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .operations import Operations, Packed, Quantizer, pack
from .precision import has_bf16

ROWS_EXPECTED = 1024  # tokens that the layout of weights is chosen for; any number runs
FEW = 16  # rows up to which reading the weights, which our kernel is good at, takes longer than AMX takes to multiply
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
FUSED = {  # activation of a config -> oneDNN's name and algorithm
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
class Scale:
    """How the input of an int8 product becomes uint8.

    Attributes:
        smooth: (K,) what each channel is divided by first, and its weights multiplied with (arXiv 2211.10438).
        low: lowest value after that which is told from lower ones; at most 0.
        high: highest one; more than ``low``.
    """

    smooth: Tensor
    low: float
    high: float

    @property
    def step(self) -> float:
        """Between two neighbouring numbers."""
        return (self.high - self.low) / 255

    @property
    def zero(self) -> int:
        """The number that stands for 0."""
        return round(-self.low / self.step)

    def quantizer(self) -> Quantizer:
        """Return what turns an input into the numbers."""
        return Quantizer((1 / (self.smooth * self.step)).contiguous(), self.zero)


class Product(Protocol):
    """``activation(x @ weight.T + bias)``; ``quantizer`` makes the ``x`` of an int8 product."""

    quantizer: Quantizer | None

    def __call__(self, x: Tensor) -> Tensor:
        """(T, K) -> (T, M)."""


def float_product(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "", operations: Operations | None = None
) -> Product:
    """Return a product in fp32 or bf16: by our kernel, or by oneDNN, or by PyTorch's operators where neither can."""
    ours = None
    if operations is not None and activation in ("", "gelu") and operations.multiplies(dtype, weight.shape[1]):
        numbers = weight.to(dtype)
        packed = Packed(pack(numbers), len(numbers), dtype, None, bias.float(), activation == "gelu", dtype)
        ours = PackedProduct(packed, None, operations)
    theirs = FloatProduct if _onednn_multiplies(dtype) else PlainProduct
    return _fastest(ours, lambda: theirs(weight, bias, dtype, activation), dtype)


def _onednn_multiplies(dtype: torch.dtype) -> bool:
    """Say whether oneDNN lays out weights of this type on this CPU; for bf16 it needs instructions that AVX2 lacks."""
    if not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    return dtype != torch.bfloat16 or has_bf16()


def _fastest(ours: Product | None, theirs: Callable[[], Product], dtype: torch.dtype) -> Product:
    """Return our product where there is one, or theirs; both where oneDNN has tiles of AMX, which ours has not."""
    if ours is None:
        return theirs()
    amx = dtype != torch.float32 and torch.cpu._is_amx_tile_supported()
    return FewOrMany(ours, theirs()) if amx else ours


class PackedProduct:
    """By our kernel.

    Args:
        packed: the product.
        quantizer: of its inputs.
        operations: that have the kernel.
    """

    def __init__(self, packed: Packed, quantizer: Quantizer | None, operations: Operations) -> None:
        self._packed, self.quantizer, self._operations = packed, quantizer, operations

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        return self._operations.multiply(x.contiguous(), self._packed)


class FewOrMany:
    """Two ways to one product, chosen by the number of rows."""

    def __init__(self, few: Product, many: Product) -> None:
        self._few, self._many = few, many
        self.quantizer = many.quantizer

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        return self._few(x) if len(x) <= FEW else self._many(x)


class ProductLinear(nn.Module):
    """A linear map of a head, by a product."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        """(T, K) -> (T, M)."""
        return self.product(x)


class PlainProduct:
    """In fp32 or bf16, by PyTorch's own operators: for any CPU. Arguments as in :class:`FloatProduct`."""

    quantizer: Quantizer | None = None

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "") -> None:
        self._weight, self._bias = weight.to(dtype).contiguous(), bias.to(dtype)
        self._activation = ACTIVATIONS[activation] if activation else None

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        result = F.linear(x, self._weight, self._bias)
        return result if self._activation is None else self._activation(result)


class FloatProduct:
    """In fp32 or bf16, by oneDNN.

    Args:
        weight: (M, K).
        bias: (M,).
        dtype: of the product.
        activation: as the config names it; none if empty.
    """

    quantizer: Quantizer | None = None

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, activation: str = "") -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype).contiguous(), ROWS_EXPECTED)
        self._bias = bias.to(dtype)
        self._after = FUSED[activation]

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`."""
        name, algorithm = self._after
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, name, [], algorithm)
        return result


class Int8Product:
    """In int8: inputs in uint8 with one step, weights with one for each output; sums are exact.

    Args:
        numbers: weights (M, K) as :func:`quantize_weight` gives them, and steps: (M,).
        bias: (M,).
        scale: of the inputs.
        dtype: of the result.
        activation: as the config names it; none if empty.
        result: scale of the result where that is uint8 too.
    """

    def __init__(
        self,
        numbers: Tensor,
        steps: Tensor,
        bias: Tensor,
        scale: Scale,
        dtype: torch.dtype,
        activation: str,
        result: Scale | None,
    ) -> None:
        self.quantizer: Quantizer | None = scale.quantizer()
        self._step, self._zero = scale.step, scale.zero
        self._steps = steps
        self._weight = torch.ops.onednn.qlinear_prepack(numbers, [ROWS_EXPECTED, numbers.shape[1]])
        self._zeros = torch.zeros(len(numbers), dtype=torch.int64)
        self._bias = bias.float()
        self._dtype = dtype if result is None else torch.uint8
        self._result = (1.0, 0) if result is None else (result.step, result.zero)
        self._after = FUSED[activation]

    def __call__(self, x: Tensor) -> Tensor:
        """See :class:`Product`; ``x`` is uint8."""
        name, algorithm = self._after
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            x, self._step, self._zero, self._weight, self._steps, self._zeros, self._bias, *self._result, self._dtype,
            name, [], algorithm,
        )  # fmt: skip
        return result


def int8_product(
    weight: Tensor,
    bias: Tensor,
    scale: Scale,
    dtype: torch.dtype,
    activation: str,
    result: Scale | None,
    operations: Operations,
) -> Product:
    """Return a product in int8, whose weights (M, K) are quantized here; by what, see :func:`float_product`."""
    numbers, steps = quantize_weight(weight.float() * scale.smooth)
    ours = None
    if activation in ("", "gelu") and operations.multiplies(torch.uint8, weight.shape[1]):
        factor = steps * scale.step
        shift = bias.float() - factor * scale.zero * numbers.float().sum(dim=1)
        returned = (dtype, 1.0, 0) if result is None else (torch.uint8, result.step, result.zero)
        packed = Packed(pack(numbers), len(numbers), torch.int8, factor, shift, activation == "gelu", *returned)
        ours = PackedProduct(packed, scale.quantizer(), operations)
    return _fastest(ours, lambda: Int8Product(numbers, steps, bias, scale, dtype, activation, result), torch.uint8)


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 numbers (M, K) from -127 to 127 and the step of each row (M,)."""
    steps = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
    return (weight / steps[:, None]).round().to(torch.int8), steps
