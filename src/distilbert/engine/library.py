"""The compiled kernels, and which of them this machine runs."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.schema import LAYER_NORM_EPS
from .operations import Contributions, Embeddings, Norm, Operations, Packed, PlainOperations, Quantizer, Spans

FOLDER = Path(__file__).parent / "compiled"
VERSION = 4  # of the functions in kernels.cpp
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}  # as in products.h


class CompiledOperations:
    """The kernels of ``kernels/``.

    Args:
        library: the shared library.

    Raises:
        OSError: it cannot be loaded here, or belongs to another version of this file.
    """

    def __init__(self, library: Path) -> None:
        self.name = library.stem
        self._library: Any = ctypes.CDLL(str(library))
        if self._library.version() != VERSION:
            raise OSError(f"{library} was compiled from other kernels; install the package again.")
        pointer, whole, number, strided = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
        quantizing: list[Any] = [pointer, strided, pointer, number]
        self._library.embed_norm.argtypes = [
            number, pointer, pointer, whole, number, pointer, pointer, pointer, pointer, strided, pointer, *quantizing,
        ]  # fmt: skip
        self._library.embed_project.argtypes = [
            number, pointer, pointer, pointer, whole, number, number, pointer, pointer, pointer, pointer, pointer,
            pointer, strided, pointer, pointer, pointer, number,
        ]  # fmt: skip
        self._library.add_norm.argtypes = [
            number, pointer, pointer, whole, number, pointer, pointer, strided, pointer, *quantizing,
        ]  # fmt: skip
        self._library.multiply.argtypes = [
            number, pointer, whole, number, pointer, number, pointer, pointer, number, number, strided, strided,
            pointer, number,
        ]  # fmt: skip
        self._library.attend.argtypes = [
            number, pointer, whole, pointer, whole, pointer, whole, pointer, pointer, number, number, number, strided,
            pointer, whole, *quantizing,
        ]  # fmt: skip

    def embed_norm(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        words, positions, norm = embeddings.words, embeddings.positions, embeddings.norm
        rows, dim = len(ids), words.shape[1]
        out = words.new_empty(rows, dim)
        copy = out.new_empty(rows, dim, dtype=torch.uint8) if quantizer else None
        self._library.embed_norm(
            words.dtype == torch.bfloat16, ids.data_ptr(), places.data_ptr(), rows, dim, words.data_ptr(),
            positions.data_ptr(), norm.gain.data_ptr(), norm.shift.data_ptr(), LAYER_NORM_EPS, out.data_ptr(),
            *_quantizing(quantizer, copy),
        )  # fmt: skip
        return out, copy

    def embed_project(
        self, ids: Tensor, places: Tensor, embeddings: Embeddings, slots: Tensor, parts: Contributions
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Operations`."""
        words, norm, width = embeddings.words, embeddings.norm, len(parts.shift)
        rows, dim = len(ids), words.shape[1]
        out, projected = words.new_empty(rows, dim), words.new_empty(rows, width)
        self._library.embed_project(
            words.dtype == torch.bfloat16, ids.data_ptr(), slots.data_ptr(), places.data_ptr(), rows, dim, width,
            words.data_ptr(), embeddings.positions.data_ptr(), parts.words.data_ptr(), parts.positions.data_ptr(),
            norm.gain.data_ptr(), norm.shift.data_ptr(), LAYER_NORM_EPS, parts.shift.data_ptr(), out.data_ptr(),
            projected.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out, projected

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
        numbers = self._library.multiplies(TYPES[dtype])
        return bool(numbers and depth % numbers == 0)

    def multiply(self, x: Tensor, product: Packed) -> Tensor:
        """See :class:`Operations`."""
        out = x.new_empty(len(x), product.outputs, dtype=product.result)
        self._library.multiply(
            TYPES[x.dtype], x.data_ptr(), len(x), product.panels.shape[1], product.panels.data_ptr(), product.outputs,
            None if product.factor is None else product.factor.data_ptr(), product.shift.data_ptr(), product.gelu,
            TYPES[product.result], 1 / product.step, product.zero, out.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out


def _quantizing(quantizer: Quantizer | None, out: Tensor | None) -> tuple[Any, ...]:
    """Return the last arguments of every kernel."""
    threads = torch.get_num_threads()
    if quantizer is None or out is None:
        return None, 0.0, None, threads
    return quantizer.factor.data_ptr(), float(quantizer.zero), out.data_ptr(), threads


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
