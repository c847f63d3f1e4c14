"""Lines of text, from files and from standard input, in constant memory.

A line keeps its end. Only a line feed ends a line, and a byte order mark before the first one is dropped.
"""

from __future__ import annotations

import gzip
import os
import select
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from ..core.errors import DataError

BYTE_ORDER_MARK = "\ufeff"
READ_BYTES = 1 << 16  # asked of a pipe at once


class FileLines:
    """The lines of a file in UTF-8, read as they are asked for.

    Args:
        path: the file.
        compressed: whether it is compressed with gzip.
        keep_invalid: bytes that are not UTF-8 become lone surrogates, so that only their own line is unusable;
            otherwise they are an error.

    Iterating raises :class:`DataError` if the compression is broken or, without ``keep_invalid``, a line is not UTF-8.
    The file is closed after the last line, or by :meth:`close`.
    """

    def __init__(self, path: Path, *, compressed: bool = False, keep_invalid: bool = False) -> None:
        self._path, self._compressed, self._keep_invalid = path, compressed, keep_invalid
        self._file = path.open("rb")
        self._size = path.stat().st_size

    def position(self) -> int:
        """Return how many bytes of the file were read."""
        return self._size if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[str]:
        offset = 0  # bytes before the line
        errors = "surrogateescape" if self._keep_invalid else "strict"
        with self._file:
            lines = cast(IO[bytes], gzip.GzipFile(fileobj=self._file)) if self._compressed else self._file
            try:
                for number, line in enumerate(lines, 1):
                    try:
                        text = line.decode("utf-8", errors)
                    except UnicodeDecodeError as error:
                        raise self._undecodable(number, offset + error.start, line[error.start]) from None
                    offset += len(line)
                    yield text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise DataError(f"{self._path} is broken as a .gz file: {error}") from None

    def _undecodable(self, number: int, offset: int, byte: int) -> DataError:
        where = f"byte {offset}" + (" of the uncompressed text" if self._compressed else " of the file")
        if offset == 0 and byte in (0xFE, 0xFF):
            advice = "It looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8"
        else:
            advice = "Convert it from the encoding it is in, for example: iconv -f WINDOWS-1252 -t UTF-8"
        return DataError(f"{self._path}:{number}: byte 0x{byte:02x} at {where} is not UTF-8. {advice}")


class PipeLines:
    """Lines from a file descriptor, read without a thread, so that Ctrl-C always works.

    Bytes that are not UTF-8 become lone surrogates.

    Args:
        descriptor: where to read from: a pipe, a terminal or a file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []  # complete lines, the next one last
        self._incomplete: list[bytes] = []  # pieces of the line whose end has not come yet
        self._ended = False
        self._first = True

    def ready(self) -> bool:
        """Tell whether the next line, or the end of the input, can be had without waiting."""
        while not self._lines and not self._ended:
            if os.name == "nt" or not select.select([self._descriptor], [], [], 0)[0]:
                return False
            self._read()
        return True

    def __iter__(self) -> Iterator[str]:
        while True:
            while not self._lines and not self._ended:
                self._read()
            if not self._lines:
                return
            line = self._lines.pop().decode("utf-8", errors="surrogateescape")
            if self._first:
                line, self._first = line.removeprefix(BYTE_ORDER_MARK), False
            yield line

    def _read(self) -> None:
        chunk = os.read(self._descriptor, READ_BYTES)
        self._ended = not chunk
        self._incomplete.append(chunk)
        if self._ended or b"\n" in chunk:
            *lines, rest = b"".join(self._incomplete).split(b"\n")
            lines = [line + b"\n" for line in lines]
            if self._ended and rest:
                lines.append(rest)
            self._incomplete = [rest]
            self._lines = lines[::-1]
