"""The compiled kernels as :class:`~.operations.Operations`, and the choice of the ones that this CPU can run."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.schema import LAYER_NORM_EPS
from .array_checks import check_array, check_indices, check_rows
from .operations import (
    ACTIVATIONS,
    BF16,
    FP32,
    INPUT_TYPES,
    UINT8,
    Contributions,
    EmbeddingWeights,
    LayerNormWeights,
    Multiplier,
    Operations,
    PlainOperations,
    Product,
    Quantizer,
    SequenceOffsets,
    float_type,
)

logger = logging.getLogger("distilbert")

# `make sanitize` runs the tests with libraries of its own, which find errors of memory.
FOLDER = Path(os.environ.get("DISTILBERT_KERNELS_FOLDER") or Path(__file__).parent / "compiled")
VERSION = 8  # of the functions in kernels.cpp
BASE = "base"  # the library for every CPU
_X86 = ("avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx")
_ARM = ("dotprod", "i8mmbf16")
SPECIAL = _ARM if platform.machine().lower() in ("aarch64", "arm64") else _X86  # the bits of runnable() in kernels.cpp
PREFERRED = (*reversed(SPECIAL), BASE)  # the fastest first
TYPE_CODES = {FP32: 0, BF16: 1, UINT8: 2}  # the enum Type of kernels/finish.h
ACTIVATION_CODES = {  # the enum Activation there
    name: code for code, name in enumerate(dict.fromkeys(ACTIVATIONS.values()))
}


class CompiledOperations:
    """The kernels of ``kernels/``, compiled for one instruction set.

    Args:
        path: the shared library.
        threads: to compute with.

    Raises:
        OSError: it cannot be loaded here, or was compiled from another version of the kernels.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path, self.name, self.threads = path, path.stem, threads
        self.layout = f"{self.name}.{VERSION}"
        self._library = _open_library(path)
        self._panel_outputs: int = self._library.panel_outputs()

    def embed_norm(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        quantizer: Quantizer | None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :class:`Operations`."""
        words, positions, norm = embeddings.words, embeddings.positions, embeddings.norm
        rows, dim = len(input_ids), words.shape[1]
        check_indices("Token ids", input_ids, len(words))
        check_indices("Positions", position_ids, len(positions), rows)
        out = np.empty((rows, dim), words.dtype)
        quantized = np.empty((rows, dim), UINT8) if quantizer else None
        self._library.embed_norm(
            words.dtype == BF16, _address(input_ids), _address(position_ids), rows, dim, _address(words),
            _address(positions), _address(norm.weight), _address(norm.bias), LAYER_NORM_EPS, _address(out),
            *_quantizer_arguments(quantizer, quantized), self.threads,
        )  # fmt: skip
        return out, quantized

    def embed_project(
        self,
        input_ids: np.ndarray,
        position_ids: np.ndarray,
        embeddings: EmbeddingWeights,
        slots: np.ndarray,
        contributions: Contributions,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Operations`."""
        words, norm, width = embeddings.words, embeddings.norm, len(contributions.bias)
        rows, dim = len(input_ids), words.shape[1]
        check_indices("Token ids", input_ids, len(words))
        check_indices("Positions", position_ids, min(len(embeddings.positions), len(contributions.positions)), rows)
        check_indices("Slots", slots, len(contributions.words), rows)
        check_array("Projections of words", contributions.words, words.dtype, (None, width))
        out, projected = np.empty((rows, dim), words.dtype), np.empty((rows, width), words.dtype)
        self._library.embed_project(
            words.dtype == BF16, _address(input_ids), _address(slots), _address(position_ids), rows, dim, width,
            _address(words), _address(embeddings.positions), _address(contributions.words),
            _address(contributions.positions), _address(norm.weight), _address(norm.bias), LAYER_NORM_EPS,
            _address(contributions.bias), _address(out), _address(projected), self.threads,
        )  # fmt: skip
        return out, projected

    def add_norm(
        self, x: np.ndarray, y: np.ndarray, norm: LayerNormWeights, quantizer: Quantizer | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """See :class:`Operations`."""
        rows, dim = x.shape
        for name, summand in (("x", x), ("y", y)):
            check_array(name, summand, float_type(x), (rows, dim))
        check_array("The weight of a LayerNorm", norm.weight, FP32, (dim,))
        out = np.empty_like(x)
        quantized = np.empty(x.shape, UINT8) if quantizer else None
        self._library.add_norm(
            x.dtype == BF16, _address(x), _address(y), rows, dim, _address(norm.weight), _address(norm.bias),
            LAYER_NORM_EPS, _address(out), *_quantizer_arguments(quantizer, quantized), self.threads,
        )  # fmt: skip
        return out, quantized

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
        rows, width = q.shape
        tokens, dtype = len(k), float_type(q)
        strides = [
            check_rows(name, array, dtype, count, width)
            for name, array, count in (("Queries", q, rows), ("Keys", k, tokens), ("Values", v, tokens))
        ]
        if offsets.queries[-1] != rows or offsets.keys[-1] != tokens or heads < 1 or width % heads:
            raise InputError(
                f"Attention of {rows} queries to {tokens} keys with {heads} heads in {width} columns does not go with "
                f"offsets that end at {offsets.queries[-1]} and {offsets.keys[-1]}."
            )
        out = np.empty((rows, width), UINT8 if quantizer else q.dtype)
        self._library.attend(
            q.dtype == BF16, _address(q), strides[0], _address(k), strides[1], _address(v), strides[2],
            _address(offsets.queries), _address(offsets.keys), len(offsets.keys) - 1, heads, width // heads, scale,
            None if quantizer else _address(out), width, *_quantizer_arguments(quantizer, out), self.threads,
        )  # fmt: skip
        return out

    def multiplies(self, dtype: np.dtype[Any], depth: int) -> bool:
        """See :class:`Operations`."""
        numbers_per_word = self._library.multiplies(TYPE_CODES[dtype]) if dtype in TYPE_CODES else 0
        return bool(numbers_per_word and depth % numbers_per_word == 0)

    def lay_out(self, weight: np.ndarray) -> np.ndarray:
        """See :class:`Operations`: (G, panels, K words, outputs in a panel) int32.

        A word is four bytes: one number in fp32, two in bf16, four in int8. The last panel is filled up with zeros.
        """
        words = np.ascontiguousarray(weight).view(np.int32)
        groups, outputs, depth = words.shape
        size = self._panel_outputs
        panels = np.zeros((groups, -(-outputs // size), depth, size), np.int32)
        full = outputs // size
        panels[:, :full] = words[:, : full * size].reshape(groups, full, size, depth).transpose(0, 1, 3, 2)
        if full * size < outputs:
            panels[:, full, :, : outputs - full * size] = words[:, full * size :].transpose(0, 2, 1)
        return panels

    def multiplier(self, product: Product) -> Multiplier:
        """See :class:`Operations`."""
        groups, outputs, depth, dtype = product.groups, product.outputs, product.depth, INPUT_TYPES[product.dtype]
        if not self.multiplies(dtype, depth):
            raise InputError(f"{self.name} has no product of {dtype} and {product.dtype} with {depth} features.")
        size, words = self._panel_outputs, depth // self._library.multiplies(TYPE_CODES[dtype])
        check_array("A packed weight", product.weight, np.dtype(np.int32), (groups, -(-outputs // size), words, size))
        features, run, threads = (None, groups * depth), self._library.multiply, self.threads
        type_code, constants = TYPE_CODES[dtype], (
            groups, depth, _address(product.weight), outputs,
            None if product.factor is None else _address(product.factor), _address(product.bias),
            ACTIVATION_CODES[ACTIVATIONS[product.activation]], TYPE_CODES[product.result_dtype],
            1 / product.result_scale, product.result_zero_point,
        )  # fmt: skip

        def multiply(x: np.ndarray) -> np.ndarray:  # it holds the product, so the addresses stay good
            check_array("Inputs of a product", x, dtype, features)
            out = np.empty((len(x), groups * outputs), product.result_dtype)
            run(type_code, _address(x), len(x), *constants, _address(out), threads)
            return out

        return multiply


def _address(array: np.ndarray) -> int:
    if array.flags.carray and array.size:  # contiguous and writable: a faster way
        buffer: Any = array.view(UINT8)
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    address: int = array.__array_interface__["data"][0]
    return address


def _quantizer_arguments(quantizer: Quantizer | None, out: np.ndarray | None) -> tuple[Any, ...]:
    """Return a kernel's arguments that say how to quantize, and where to."""
    if quantizer is None or out is None:
        return None, 0.0, None
    check_array("The factor of a quantizer", quantizer.factor, FP32, (out.shape[1],))
    return _address(quantizer.factor), float(quantizer.zero_point), _address(out)


@functools.cache
def _open_library(path: Path) -> Any:
    """Load a library and declare its functions."""
    library: Any = ctypes.CDLL(str(path))
    if library.version() != VERSION:
        raise OSError(f"{path} was compiled from another version of the kernels; install the package again.")
    pointer, int64, int32, float32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
    quantizer: list[Any] = [pointer, float32, pointer]
    library.embed_norm.argtypes = [
        int32, pointer, pointer, int64, int32, pointer, pointer, pointer, pointer, float32, pointer, *quantizer, int32,
    ]  # fmt: skip
    library.embed_project.argtypes = [
        int32, pointer, pointer, pointer, int64, int32, int32, pointer, pointer, pointer, pointer, pointer,
        pointer, float32, pointer, pointer, pointer, int32,
    ]  # fmt: skip
    library.add_norm.argtypes = [
        int32, pointer, pointer, int64, int32, pointer, pointer, float32, pointer, *quantizer, int32,
    ]  # fmt: skip
    library.multiply.argtypes = [
        int32, pointer, int64, int32, int32, pointer, int32, pointer, pointer, int32, int32, float32, float32,
        pointer, int32,
    ]  # fmt: skip
    library.attend.argtypes = [
        int32, pointer, int64, pointer, int64, pointer, int64, pointer, pointer, int32, int32, int32, float32,
        pointer, int64, *quantizer, int32,
    ]  # fmt: skip
    for name in ("embed_norm", "embed_project", "add_norm", "multiply", "attend"):
        getattr(library, name).restype = None
    return library


def available_kernels() -> tuple[str, ...]:
    """Return the names of the compiled libraries that this CPU can run, the fastest first."""
    try:
        bits = _open_library(FOLDER / f"{BASE}.so").runnable()
    except OSError:
        return ()
    runnable = {BASE, *(name for bit, name in enumerate(SPECIAL) if bits >> bit & 1)}
    return tuple(name for name in PREFERRED if name in runnable and _is_loadable(FOLDER / f"{name}.so"))


def _is_loadable(path: Path) -> bool:
    try:
        _open_library(path)
    except OSError:
        return False
    return True


def load_operations(threads: int = 1) -> Operations:
    """Return the fastest operations that this machine can run.

    Kernels are compiled when the package is built or installed on a machine with a C++ compiler. A library that cannot
    be loaded here is passed over. Without any, :class:`PlainOperations` run, which is said once.
    ``DISTILBERT_KERNELS`` chooses a library by its name, or ``numpy``.

    Args:
        threads: to compute with.

    Raises:
        InputError: this CPU cannot run the library that ``DISTILBERT_KERNELS`` names, or it is not there.
    """
    requested, available = os.environ.get("DISTILBERT_KERNELS", ""), available_kernels()
    if requested in ("numpy", "0"):
        return PlainOperations()
    if requested and requested not in available:
        raise InputError(
            f"DISTILBERT_KERNELS={requested}: there are no such kernels for this CPU. Set it to one of "
            f"{', '.join([*available, 'numpy'])}, or leave it unset for the fastest."
        )
    if not available:
        _say_that_kernels_are_missing()
        return PlainOperations()
    return CompiledOperations(FOLDER / f"{requested or available[0]}.so", threads)


@functools.cache
def _say_that_kernels_are_missing() -> None:
    logger.warning(
        "The compiled kernels are not there, so models run in NumPy, several times slower. Install a wheel, or install "
        "from source on a machine with a C++ compiler."
    )
