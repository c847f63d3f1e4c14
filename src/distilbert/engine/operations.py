"""What the engine computes between matrix products: compiled kernels, and their plain twins in PyTorch.

Legend: T packed tokens, D dim, N heads, H head dim, R query rows, B sequences.
"""

from __future__ import annotations

import ctypes
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.schema import LAYER_NORM_EPS

FOLDER = Path(__file__).parent / "compiled"
VERSION = 2  # of the functions in kernels.cpp


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
class Spans:
    """Where the sequences' rows begin and end: (B + 1,) int64 offsets."""

    queries: Tensor
    keys: Tensor


KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}


@dataclass(frozen=True)
class FewRows:
    """A product for few rows: ``activation(x @ weight.T * factor + shift)``, weights as they are in a checkpoint.

    Attributes:
        weight: (M, K) fp32, bf16, or int8 for inputs in uint8.
        factor: (M,) fp32; None for 1.
        shift: (M,) fp32.
        gelu: apply GELU.
        dtype: of the result.
        step: of a result in uint8, and zero: the number that stands for 0 in it.
    """

    weight: Tensor
    factor: Tensor | None
    shift: Tensor
    gelu: bool
    dtype: torch.dtype
    step: float = 1.0
    zero: int = 0


class Operations(Protocol):
    """The steps between products. ``quantizer`` asks for a uint8 copy of the result beside it."""

    name: str

    def embed_norm(
        self, ids: Tensor, places: Tensor, words: Tensor, positions: Tensor, norm: Norm, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """``LayerNorm(words[ids] + positions[places])``: ids and places (T,) -> (T, D)."""

    def add_norm(self, x: Tensor, y: Tensor, norm: Norm, quantizer: Quantizer | None) -> tuple[Tensor, Tensor | None]:
        """``LayerNorm(x + y)`` of (T, D)."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, heads: int, scale: float, quantizer: Quantizer | None
    ) -> Tensor:
        """Attention within each sequence: q (R, N * H), k and v (T, N * H) -> (R, N * H), uint8 with a quantizer."""

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """Say whether :meth:`multiply` is there for inputs of a type and a number of features."""

    def multiply(self, x: Tensor, product: FewRows) -> Tensor:
        """Multiply few rows: (T, K) -> (T, M)."""


class CompiledOperations:
    """The kernels of ``kernels.cpp``.

    Args:
        library: the shared library.

    Raises:
        OSError: it cannot be loaded here, or belongs to another version of this file.
    """

    def __init__(self, library: Path) -> None:
        self.name = library.stem
        self._library: Any = ctypes.CDLL(str(library))
        if self._library.version() != VERSION:
            raise OSError(f"{library} was compiled from another kernels.cpp; install the package again.")
        pointer, whole, number, strided = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
        quantizing: list[Any] = [pointer, strided, pointer, number]
        self._library.embed_norm.argtypes = [
            number, pointer, pointer, whole, number, pointer, pointer, pointer, pointer, strided, pointer, *quantizing,
        ]  # fmt: skip
        self._library.add_norm.argtypes = [
            number, pointer, pointer, whole, number, pointer, pointer, strided, pointer, *quantizing,
        ]  # fmt: skip
        self._library.multiply.argtypes = [
            number, pointer, number, number, pointer, number, pointer, pointer, number, number, strided, strided,
            pointer, number,
        ]  # fmt: skip
        self._library.attend.argtypes = [
            number, pointer, whole, pointer, whole, pointer, whole, pointer, pointer, number, number, number, strided,
            pointer, whole, *quantizing,
        ]  # fmt: skip

    def embed_norm(
        self, ids: Tensor, places: Tensor, words: Tensor, positions: Tensor, norm: Norm, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        rows, dim = len(ids), words.shape[1]
        out = words.new_empty(rows, dim)
        copy = out.new_empty(rows, dim, dtype=torch.uint8) if quantizer else None
        self._library.embed_norm(
            words.dtype == torch.bfloat16, ids.data_ptr(), places.data_ptr(), rows, dim, words.data_ptr(),
            positions.data_ptr(), norm.gain.data_ptr(), norm.shift.data_ptr(), LAYER_NORM_EPS, out.data_ptr(),
            *_quantizing(quantizer, copy),
        )  # fmt: skip
        return out, copy

    def add_norm(self, x: Tensor, y: Tensor, norm: Norm, quantizer: Quantizer | None) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        rows, dim = x.shape
        out = torch.empty_like(x)
        copy = torch.empty_like(x, dtype=torch.uint8) if quantizer else None
        self._library.add_norm(
            x.dtype == torch.bfloat16, x.data_ptr(), y.data_ptr(), rows, dim, norm.gain.data_ptr(),
            norm.shift.data_ptr(), LAYER_NORM_EPS, out.data_ptr(), *_quantizing(quantizer, copy),
        )  # fmt: skip
        return out, copy

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, spans: Spans, heads: int, scale: float, quantizer: Quantizer | None
    ) -> Tensor:
        """See :class:`Operations`."""
        rows, width = q.shape
        out = q.new_empty(rows, width, dtype=torch.uint8 if quantizer else q.dtype)
        self._library.attend(
            q.dtype == torch.bfloat16, q.data_ptr(), q.stride(0), k.data_ptr(), k.stride(0), v.data_ptr(), v.stride(0),
            spans.queries.data_ptr(), spans.keys.data_ptr(), len(spans.keys) - 1, heads, width // heads, scale,
            None if quantizer else out.data_ptr(), width, *_quantizing(quantizer, out),
        )  # fmt: skip
        return out

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """See :class:`Operations`."""
        step = self._library.multiplies(KINDS[dtype])
        return bool(step and depth % step == 0)

    def multiply(self, x: Tensor, product: FewRows) -> Tensor:
        """See :class:`Operations`."""
        outputs, depth = product.weight.shape
        out = x.new_empty(len(x), outputs, dtype=product.dtype)
        self._library.multiply(
            KINDS[x.dtype], x.data_ptr(), len(x), depth, product.weight.data_ptr(), outputs,
            None if product.factor is None else product.factor.data_ptr(), product.shift.data_ptr(), product.gelu,
            KINDS[product.dtype], 1 / product.step, product.zero, out.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out


def _quantizing(quantizer: Quantizer | None, out: Tensor | None) -> tuple[Any, ...]:
    """Return the last arguments of every kernel."""
    threads = torch.get_num_threads()
    if quantizer is None or out is None:
        return None, 0.0, None, threads
    return quantizer.factor.data_ptr(), float(quantizer.zero), out.data_ptr(), threads


class PlainOperations:
    """The twin of the kernels, in PyTorch's own operators, for machines that they were not compiled for."""

    name = "pytorch"

    def embed_norm(
        self, ids: Tensor, places: Tensor, words: Tensor, positions: Tensor, norm: Norm, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        return self.add_norm(words[ids], positions[places], norm, quantizer)

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
        """See :class:`Operations`: oneDNN multiplies, however few rows there are."""
        return False

    def multiply(self, x: Tensor, product: FewRows) -> Tensor:
        """See :class:`Operations`."""
        y = x.float() @ product.weight.float().T * (1.0 if product.factor is None else product.factor) + product.shift
        y = F.gelu(y) if product.gelu else y
        if product.dtype != torch.uint8:
            return y.to(product.dtype)
        return Quantizer(torch.tensor(1 / product.step), product.zero)(y)


@functools.cache
def operations() -> Operations:
    """Return the fastest operations that this machine can run.

    The kernels are compiled where the package is installed with a C++ compiler; ``DISTILBERT_KERNELS=0`` leaves them
    out, and so does a library that cannot be loaded here.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    names = [*{"AVX512": ["avx512", "avx2"], "AVX2": ["avx2"]}.get(capability, []), "base"]
    if capability == "AVX512" and torch.cpu._is_avx512_bf16_supported():
        names.insert(0, "avx512bf16")
    if os.environ.get("DISTILBERT_KERNELS", "1") != "0":
        for path in (FOLDER / f"{name}.so" for name in names):
            if path.is_file():
                try:
                    return CompiledOperations(path)
                except OSError:
                    continue
    return PlainOperations()
