"""Named tensors of weight files, read one at a time.

A safetensors file is 8 bytes of header length (little endian), a JSON header of
``{name: {"dtype", "shape", "data_offsets": [begin, end]}}``, then the raw numbers. It is read here rather than through
the ``safetensors`` package because that one maps the whole file for as long as any of it is in use: where weights are
converted, the mapped pages count as memory beside the copies. Here each tensor is a map of its own, copied only where
it is written to, and gone when it is let go. Writing goes through the package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ..core.errors import WeightsError
from ..core.extras import require
from ..core.files import replacing

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is still in its file.

    Attributes:
        shape: its shape.
        dtype: NumPy's name of its type; ``"bfloat16"`` is that of ``ml_dtypes``.
        read: returns the array; it may map the file, and writing to it never changes the file.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def transposed(self) -> LazyTensor:
        """Return the tensor with its axes in reverse order."""
        return LazyTensor(self.shape[::-1], self.dtype, lambda: np.ascontiguousarray(self.read().T))


Tensors = dict[str, LazyTensor]


def in_memory(array: np.ndarray) -> LazyTensor:
    """Wrap an array that is already there."""
    return LazyTensor(array.shape, array.dtype.name, lambda: array)


def open_safetensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file; only its header is read.

    Raises:
        WeightsError: the file is truncated or its header is corrupt.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise WeightsError(f"{path} is truncated or no safetensors file: {size} bytes, header of {length} bytes.")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        header.pop("__metadata__", None)
        entries: list[tuple[str, np.dtype[Any], tuple[int, ...], int, int]] = []
        for name, entry in header.items():
            begin, end = map(int, entry["data_offsets"])
            entries.append((name, DTYPES[entry["dtype"]], tuple(map(int, entry["shape"])), begin, end))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} has a corrupt safetensors header: {error!r}.") from None
    start = 8 + length
    tensors: Tensors = {}
    for name, dtype, shape, begin, end in entries:
        if begin < 0 or end - begin != prod(shape) * dtype.itemsize:
            raise WeightsError(f"{path} has a corrupt safetensors header: {name} does not fill bytes {begin} to {end}.")
        if start + end > size:
            raise WeightsError(f"{path} is truncated: {name} ends at byte {start + end}, the file at byte {size}.")
        tensors[name] = LazyTensor(shape, dtype.name, raw_reader(path, dtype, shape, start + begin))
    return tensors


def raw_reader(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> Callable[[], np.ndarray]:
    """Return a function that reads an array of plain numbers, which begin at a byte of a file."""
    count = prod(shape) * dtype.itemsize

    def read() -> np.ndarray:
        if not count:
            return np.empty(shape, dtype)
        try:
            raw = np.memmap(path, np.uint8, mode="c", offset=offset, shape=(count,))
        except ValueError:
            raise WeightsError(f"{path} ended while it was read: it has no {count} bytes at {offset}.") from None
        array = np.asarray(raw).view(dtype).reshape(shape)
        return array if offset % dtype.itemsize == 0 else array.copy()

    return read


def open_torch_files(paths: Iterable[Path]) -> Tensors:
    """Return the tensors of PyTorch pickles (``.bin``), read with ``weights_only`` so that no code in them runs.

    Raises:
        WeightsError: a file is truncated or holds something other than tensors.
        MissingExtraError: PyTorch is not installed.
    """
    torch = require("torch", "torch")
    tensors: Tensors = {}
    for path in paths:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch raises many kinds here, depending on where a file breaks
            reason = str(error).split("\n")[0]
            raise WeightsError(f"{path} is truncated, corrupt, or holds more than tensors: {reason}") from None
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise WeightsError(f"{path} does not hold a dictionary of tensors.")
        for name, tensor in state.items():
            tensor = tensor.detach().contiguous()
            bf16 = tensor.dtype == torch.bfloat16
            array = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if bf16 else tensor.numpy()
            tensors[name] = in_memory(array)
    return tensors


def save_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a safetensors file, atomically."""
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, {"format": "pt"})


def save_torch_file(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a PyTorch pickle of plain tensors, atomically.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    torch = require("torch", "torch")
    state = {}
    for name, array in arrays.items():
        array = np.require(array, requirements=["C", "W"])
        bf16 = array.dtype == ml_dtypes.bfloat16
        state[name] = torch.from_numpy(array.view(np.int16)).view(torch.bfloat16) if bf16 else torch.from_numpy(array)
    with replacing(path) as temporary:
        torch.save(state, temporary)
