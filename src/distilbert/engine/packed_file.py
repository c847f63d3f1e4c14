"""A file of arrays that is mapped into memory: aligned, checked before use, and shared by all processes that map it.

What is in it, in this order: a magic number; the arrays, each at a multiple of 64 bytes, large ones at whole pages; a
footer in JSON; the footer's length and SHA-256; the magic number again. The footer holds ``content``, plain data of who
wrote the file, and ``arrays``, a list of type, shape, offset and the checksum of the first bytes. So a file that was
cut, or whose parts were exchanged, is noticed when it is opened, in a millisecond.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import zlib
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..core.errors import WeightsError
from ..core.files import sync_to_disk
from .operations import BF16, FP32, INT8

MAGIC = b"DBPACK01"
LENGTH, HASH = 8, 32  # bytes of the footer's length and of its SHA-256
LINE, PAGE = 64, 4096
CHECKED = 4096  # bytes of each array that are checked when the file is opened
MOST_FOOTER = 16 << 20
DTYPES = {dtype.name: dtype for dtype in (FP32, BF16, INT8, np.dtype(np.int16), np.dtype(np.int32))}


class PackedFile:
    """A file that is open for reading. Its arrays cannot be written; they stay valid when the file is replaced.

    Attributes:
        content: what the writer said about the arrays.
        arrays: in the order in which they were written.

    Raises:
        WeightsError: it is no such file, or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < PAGE + LENGTH + HASH + len(MAGIC):
                raise WeightsError(f"{path} is too short for packed weights.")
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        footer, end = _read_footer(mapped, path)
        try:
            self.content: dict[str, Any] = dict(footer["content"])
            self.arrays = [_view(mapped, end, *entry) for entry in footer["arrays"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _read_footer(mapped: mmap.mmap, path: Path) -> tuple[dict[str, Any], int]:
    """Return the footer, and where it begins."""
    end = len(mapped) - len(MAGIC)
    if mapped[: len(MAGIC)] != MAGIC or mapped[end:] != MAGIC:
        raise WeightsError(f"{path} holds no packed weights of this version, or it was cut.")
    length = int.from_bytes(mapped[end - HASH - LENGTH : end - HASH], "little")
    start = end - HASH - LENGTH - length
    if start < PAGE or length > MOST_FOOTER:
        raise WeightsError(f"{path} is damaged: its footer would have {length} bytes.")
    footer = mapped[start : start + length]
    if hashlib.sha256(footer).digest() != mapped[end - HASH : end]:
        raise WeightsError(f"{path} is damaged: its footer has another checksum.")
    try:
        values = json.loads(footer)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path} is damaged: its footer is no object.")
    return values, start


def _view(mapped: mmap.mmap, end: int, dtype: str, shape: list[int], offset: int, checksum: int) -> np.ndarray:
    """Return one array of the mapped file.

    Raises:
        ValueError: it does not lie in the file, or its first bytes are others than were written.
    """
    kind = DTYPES[dtype]
    if not all(type(number) is int and number >= 0 for number in (*shape, offset)):
        raise ValueError(f"no shape {shape!r:.80} at {offset!r:.40}")
    size = prod(shape) * kind.itemsize
    if offset % LINE or offset < LINE or offset + size > end:
        raise ValueError(f"{size} bytes at {offset} do not lie in a file of {end}")
    if zlib.crc32(mapped[offset : offset + min(size, CHECKED)]) != checksum:
        raise ValueError(f"the bytes at {offset} were changed")
    return np.frombuffer(mapped, kind, prod(shape), offset).reshape(shape)


class PackedFileWriter:
    """Writes arrays one after the other, and gives each back as it lies in the file, so that no copy is kept.

    The file is at a temporary path beside ``path`` until :meth:`finish`, which renames it. If the block is left without
    it, the temporary file is removed; arrays that were given back stay valid.

    Args:
        path: of the file.
        most_bytes: all arrays together have at most so many bytes.

    Raises:
        OSError: the file cannot be written, or the arrays are larger.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._temporary = path, path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
        self._file = self._temporary.open("xb+", buffering=0)
        self._most, self._end = most_bytes + 2 * PAGE, PAGE
        self._arrays: list[list[Any]] = []
        try:
            self._file.truncate(self._most)  # takes no space until it is written
            self._mapped = mmap.mmap(self._file.fileno(), self._most, access=mmap.ACCESS_READ)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, array: np.ndarray) -> np.ndarray:
        """Write an array, and return it as it lies in the file."""
        array = np.asarray(array, order="C")
        alignment = PAGE if array.nbytes >= PAGE else LINE
        offset = -(-self._end // alignment) * alignment
        if offset + array.nbytes > self._most:
            raise OSError(f"the weights do not fit into {self._most} bytes")
        data = array.reshape(-1).view(np.uint8).data
        self._write(offset, data)
        self._end = offset + array.nbytes
        self._arrays.append([array.dtype.name, list(array.shape), offset, zlib.crc32(data[:CHECKED])])
        return np.frombuffer(self._mapped, array.dtype, array.size, offset).reshape(array.shape)

    def finish(self, content: dict[str, Any]) -> int:
        """Write the footer, and give the file its name; return its size."""
        footer = json.dumps({"content": content, "arrays": self._arrays}).encode()
        end = footer + len(footer).to_bytes(LENGTH, "little") + hashlib.sha256(footer).digest() + MAGIC
        self._file.truncate(self._end)
        self._write(0, memoryview(MAGIC))
        self._write(self._end, memoryview(end))
        sync_to_disk(self._temporary)
        self._temporary.replace(self._path)
        return self._end + len(end)

    def _write(self, offset: int, data: memoryview) -> None:
        self._file.seek(offset)
        while len(data):
            data = data[self._file.write(data) or 0 :]
