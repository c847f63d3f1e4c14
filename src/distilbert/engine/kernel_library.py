"""The compiled kernels as :class:`~.operations.Operations`, and the choice of the ones that this CPU can run."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.schema import LAYER_NORM_EPS
from .array_checks import check_array, check_indices, check_rows
from .operations import (
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    Operations,
    PackedProduct,
    PlainOperations,
    Quantizer,
    SequenceOffsets,
    float_type,
)

# `make sanitize` runs the tests with libraries of its own, which find errors of memory.
FOLDER = Path(os.environ.get("DISTILBERT_KERNELS_FOLDER") or Path(__file__).parent / "compiled")
VERSION = 5  # of the functions in kernels.cpp
INPUT_TYPES = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16, torch.int8: torch.uint8}  # by weight
TYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.uint8: 2}  # the enum Type of kernels/finish.h


class CompiledOperations:
    """The kernels of ``kernels/``, compiled for one instruction set.

    Args:
        path: the shared library.

    Raises:
        OSError: it cannot be loaded here, or was compiled from another version of the kernels.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._library: Any = ctypes.CDLL(str(path))
        if self._library.version() != VERSION:
            raise OSError(f"{path} was compiled from another version of the kernels; install the package again.")
        pointer, int64, int32, float32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
        quantizer: list[Any] = [pointer, float32, pointer, int32]
        self._library.embed_norm.argtypes = [
            int32, pointer, pointer, int64, int32, pointer, pointer, pointer, pointer, float32, pointer, *quantizer,
        ]  # fmt: skip
        self._library.embed_project.argtypes = [
            int32, pointer, pointer, pointer, int64, int32, int32, pointer, pointer, pointer, pointer, pointer,
            pointer, float32, pointer, pointer, pointer, int32,
        ]  # fmt: skip
        self._library.add_norm.argtypes = [
            int32, pointer, pointer, int64, int32, pointer, pointer, float32, pointer, *quantizer,
        ]  # fmt: skip
        self._library.multiply.argtypes = [
            int32, pointer, int64, int32, pointer, int32, pointer, pointer, int32, int32, float32, float32,
            pointer, int32,
        ]  # fmt: skip
        self._library.attend.argtypes = [
            int32, pointer, int64, pointer, int64, pointer, int64, pointer, pointer, int32, int32, int32, float32,
            pointer, int64, *quantizer,
        ]  # fmt: skip

    def embed_norm(
        self, input_ids: Tensor, position_ids: Tensor, embeddings: EmbeddingWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        words, positions, norm = embeddings.words, embeddings.positions, embeddings.norm
        rows, dim = len(input_ids), words.shape[1]
        check_indices("Token ids", input_ids, len(words))
        check_indices("Positions", position_ids, len(positions), rows)
        out = words.new_empty(rows, dim)
        quantized = out.new_empty(rows, dim, dtype=torch.uint8) if quantizer else None
        self._library.embed_norm(
            words.dtype == torch.bfloat16, input_ids.data_ptr(), position_ids.data_ptr(), rows, dim, words.data_ptr(),
            positions.data_ptr(), norm.weight.data_ptr(), norm.bias.data_ptr(), LAYER_NORM_EPS, out.data_ptr(),
            *_quantizer_arguments(quantizer, quantized),
        )  # fmt: skip
        return out, quantized

    def embed_project(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        embeddings: EmbeddingWeights,
        slots: Tensor,
        contributions: Contributions,
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Operations`."""
        words, norm, width = embeddings.words, embeddings.norm, len(contributions.bias)
        rows, dim = len(input_ids), words.shape[1]
        check_indices("Token ids", input_ids, len(words))
        check_indices("Positions", position_ids, min(len(embeddings.positions), len(contributions.positions)), rows)
        check_indices("Slots", slots, len(contributions.words), rows)
        check_array("Projections of words", contributions.words, words.dtype, (None, width))
        out, projected = words.new_empty(rows, dim), words.new_empty(rows, width)
        self._library.embed_project(
            words.dtype == torch.bfloat16, input_ids.data_ptr(), slots.data_ptr(), position_ids.data_ptr(), rows, dim,
            width, words.data_ptr(), embeddings.positions.data_ptr(), contributions.words.data_ptr(),
            contributions.positions.data_ptr(), norm.weight.data_ptr(), norm.bias.data_ptr(), LAYER_NORM_EPS,
            contributions.bias.data_ptr(), out.data_ptr(), projected.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out, projected

    def add_norm(
        self, x: Tensor, y: Tensor, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[Tensor, Tensor | None]:
        """See :class:`Operations`."""
        rows, dim = x.shape
        for name, summand in (("x", x), ("y", y)):
            check_array(name, summand, float_type(x), (rows, dim))
        check_array("The weight of a LayerNorm", norm.weight, torch.float32, (dim,))
        out = torch.empty_like(x)
        quantized = torch.empty_like(x, dtype=torch.uint8) if quantizer else None
        self._library.add_norm(
            x.dtype == torch.bfloat16, x.data_ptr(), y.data_ptr(), rows, dim, norm.weight.data_ptr(),
            norm.bias.data_ptr(), LAYER_NORM_EPS, out.data_ptr(), *_quantizer_arguments(quantizer, quantized),
        )  # fmt: skip
        return out, quantized

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
        rows, width = q.shape
        tokens, dtype = len(k), float_type(q)
        for name, array, count in (("Queries", q, rows), ("Keys", k, tokens), ("Values", v, tokens)):
            check_rows(name, array, dtype, count, width)
        if int(offsets.queries[-1]) != rows or int(offsets.keys[-1]) != tokens or heads < 1 or width % heads:
            raise InputError(
                f"Attention of {rows} queries to {tokens} keys with {heads} heads in {width} columns does not go with "
                f"offsets that end at {int(offsets.queries[-1])} and {int(offsets.keys[-1])}."
            )
        out = q.new_empty(rows, width, dtype=torch.uint8 if quantizer else q.dtype)
        self._library.attend(
            q.dtype == torch.bfloat16, q.data_ptr(), q.stride(0), k.data_ptr(), k.stride(0), v.data_ptr(), v.stride(0),
            offsets.queries.data_ptr(), offsets.keys.data_ptr(), len(offsets.keys) - 1, heads, width // heads, scale,
            None if quantizer else out.data_ptr(), width, *_quantizer_arguments(quantizer, out),
        )  # fmt: skip
        return out

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        """See :class:`Operations`."""
        numbers_per_word = self._library.multiplies(TYPE_CODES[dtype]) if dtype in TYPE_CODES else 0
        return bool(numbers_per_word and depth % numbers_per_word == 0)

    def multiply(self, x: Tensor, product: PackedProduct) -> Tensor:
        """See :class:`Operations`."""
        if not self.multiplies(x.dtype, product.depth) or x.dtype != INPUT_TYPES[product.dtype]:
            raise InputError(
                f"{self.name} has no product of {x.dtype} and {product.dtype} with {product.depth} features."
            )
        check_array("Inputs of a product", x, x.dtype, (len(x), product.depth))
        out = x.new_empty(len(x), product.outputs, dtype=product.result_dtype)
        self._library.multiply(
            TYPE_CODES[x.dtype], x.data_ptr(), len(x), product.panels.shape[1], product.panels.data_ptr(),
            product.outputs, None if product.factor is None else product.factor.data_ptr(), product.bias.data_ptr(),
            product.gelu, TYPE_CODES[product.result_dtype], 1 / product.result_scale, product.result_zero_point,
            out.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return out


def _quantizer_arguments(quantizer: Quantizer | None, out: Tensor | None) -> tuple[Any, ...]:
    """Return a kernel's last arguments: how to quantize, where to, and the number of threads."""
    threads = torch.get_num_threads()
    if quantizer is None or out is None:
        return None, 0.0, None, threads
    check_array("The factor of a quantizer", quantizer.factor, torch.float32, (out.shape[1],))
    return quantizer.factor.data_ptr(), float(quantizer.zero_point), out.data_ptr(), threads


@functools.cache
def load_operations() -> Operations:
    """Return the fastest operations that this machine can run.

    Kernels are compiled when the package is installed on a machine with a C++ compiler. A library that cannot be
    loaded here is passed over; with ``DISTILBERT_KERNELS=0``, or without any library, :class:`PlainOperations` run.
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
