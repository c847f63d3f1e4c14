"""Named tensors of weight files, read one at a time."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..core.errors import WeightsError
from ..core.extras import require
from ..core.files import replacing

logger = logging.getLogger("distilbert")

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

# Where training loops keep the weights among what else they save.
WRAPPERS = ("state_dict", "model_state_dict", "model")
DTYPES_BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that has not been read from its file yet.

    Attributes:
        shape: its shape.
        dtype: NumPy's name of its type; ``"bfloat16"`` is that of ``ml_dtypes``.
        read: returns the array; writing to it never changes the file.
        origin: its name in the file; empty where that is not known.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    origin: str = ""

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def transposed(self) -> LazyTensor:
        """Return the tensor with its axes reversed."""
        return LazyTensor(self.shape[::-1], self.dtype, lambda: np.ascontiguousarray(self.read().T), self.origin)


Tensors = dict[str, LazyTensor]


def in_memory(array: np.ndarray) -> LazyTensor:
    """Wrap an array that is in memory already."""
    return LazyTensor(array.shape, array.dtype.name, lambda: array)


def copied_when_read(array: np.ndarray) -> LazyTensor:
    """Wrap an array that stays the caller's: a model that reads it does not share its memory."""
    return LazyTensor(array.shape, array.dtype.name, array.copy)


def open_safetensors(path: Path) -> Tensors:
    """Return the tensors of a safetensors file; only its header is read.

    Tensors are read with ``pread`` and not through a memory map: the pages of a map would count as memory beside the
    copies that conversion makes.

    Raises:
        WeightsError: the file is truncated, its header is corrupt, or it holds a type that NumPy does not have.
    """
    try:
        file: Any = safe_open(path, framework="np", backend="pread")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is truncated, corrupt, or no safetensors file: {error}") from None
    _check_names(path)
    tensors: Tensors = {}
    for name in file.offset_keys():
        header = file.get_slice(name)
        dtype = DTYPES.get(header.get_dtype())
        if dtype is None:
            raise WeightsError(f"{path}: {name} is of type {header.get_dtype()}; known are {', '.join(DTYPES)}.")
        tensors[name] = LazyTensor(tuple(header.get_shape()), dtype.name, _reader(file, name, path))
    return tensors


def _check_names(path: Path) -> None:
    """Check that the header of a safetensors file names each tensor once; the official reader takes the last.

    Raises:
        WeightsError: a name stands there twice.
    """
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise WeightsError(f"{path} is corrupt: a name stands twice in its header.")
        return dict(pairs)

    json.loads(header, object_pairs_hook=unique)


def _reader(file: Any, name: str, path: Path) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        try:
            array: np.ndarray = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} ended or changed while it was read: {name}: {error}") from None
        return array

    return read


def open_torch_files(paths: Iterable[Path]) -> Tensors:
    """Return the tensors of PyTorch pickles (``.bin``), read with ``weights_only``: no code in them runs.

    Raises:
        WeightsError: a file is truncated or holds something other than tensors.
        MissingExtraError: PyTorch is not installed.
    """
    torch = require("torch", "torch")
    tensors: Tensors = {}
    for path in paths:
        _check_archive(path)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # PyTorch raises various kinds, depending on where a file is broken
            reason = str(error).split("\n")[0]
            raise WeightsError(f"{path} is truncated, corrupt, or holds more than tensors: {reason}") from None
        state = _unwrapped(state, path)
        if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
            raise WeightsError(f"{path} does not hold a dictionary of tensors.")
        size = path.stat().st_size
        for name, tensor in state.items():
            kind = str(tensor.dtype).removeprefix("torch.")
            if tensor.layout != torch.strided or tensor.is_quantized or kind not in DTYPES_BY_NAME:
                raise WeightsError(f"{path}: {str(name)[:100]} is no plain tensor but a {tensor.layout} of {kind}.")
            if tensor.is_meta or tensor.numel() * tensor.element_size() > size:
                raise WeightsError(
                    f"{path}: {str(name)[:100]} has the shape {tuple(tensor.shape)}, for which the file is too small."
                )
            tensors[str(name)] = in_memory(as_array(tensor))
    return tensors


def _check_archive(path: Path) -> None:
    """Check that what an archive holds is not larger than the archive: PyTorch compresses nothing.

    Raises:
        WeightsError: it is.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RecursionError):
        return  # a file of an older PyTorch, or a broken one, which PyTorch will say
    if size > path.stat().st_size:
        raise WeightsError(f"{path} would unpack to {size} bytes, more than the file has. PyTorch writes no such file.")


def _unwrapped(state: Any, path: Path) -> Any:
    """Return the tensors of a checkpoint that a training loop wrote: a dictionary with ``state_dict`` among others."""
    for name in WRAPPERS if isinstance(state, dict) else ():
        if isinstance(state.get(name), Mapping):
            logger.warning("%s holds a training checkpoint; its %r is read.", path, name)
            return dict(state[name])
    return state


def as_array(tensor: Any) -> np.ndarray:
    """Return a tensor of PyTorch, TensorFlow or JAX, or an array, as a NumPy array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().contiguous()
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type, and PyTorch does not convert to ours
            torch = require("torch", "torch")
            return np.asarray(tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16))
    return np.asarray(tensor)


def save_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a safetensors file, atomically."""
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
        write_torch_archive(temporary, lambda file: torch.save(state, file))


def write_torch_archive(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Let PyTorch write a file of its own format.

    PyTorch ends the process where a file that it opened itself cannot be written. So it gets one that never fails.

    Args:
        path: of the file.
        save: calls a function of PyTorch with an open file.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb", buffering=0) as raw:
        file = _UnfailingFile(raw)
        buffered = io.BufferedWriter(file, 1 << 20)
        save(buffered)
        buffered.flush()
        if file.error is not None:
            raise file.error


class _UnfailingFile(io.RawIOBase):
    """A file that keeps the first error of writing, and lets everything after it get lost."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self.error is None:
            try:
                return self._raw.write(data)
            except OSError as error:
                self.error = error
        return size
