"""Lines of text, from files and from standard input, in constant memory and in any encoding.

A line keeps its end. Only a line feed ends a line, unless ``split_at_returns`` finds that carriage returns do. A byte
order mark before the first line is dropped.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import select
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from ..core.errors import DataError
from ..core.extras import require
from ..core.files import LFS_POINTER
from .file_formats import GZIP, ZSTANDARD

BYTE_ORDER_MARK = "\ufeff"
READ_BYTES = 1 << 16  # asked of a pipe at once
PIECE_BYTES = 1 << 20  # read of a line at once
LONGEST_LINE = 1 << 25  # bytes of a line; a longer one is refused before it fills the memory
# Text is compressed to a tenth, in tables with many repetitions to a fiftieth. Only a file that was made to fill the
# memory is compressed further, and it is noticed after so many bytes.
LARGEST_EXPANSION, CHECKED_EXPANSION = 200, 1 << 26


def check_encoding(name: str) -> str:
    """Return the name of an encoding of text as Python spells it; an empty name stays empty.

    Raises:
        DataError: there is no such encoding.
    """
    if not name:
        return ""
    try:
        spelled = codecs.lookup(name).name
        io.TextIOWrapper(io.BytesIO(), encoding=spelled).close()  # refuses codecs of bytes, such as zlib
    except (LookupError, ValueError):
        raise DataError(
            f"encoding must be the name of a text encoding, such as utf-8, utf-16, latin-1, windows-1252 or shift_jis; "
            f"got {name!r}."
        ) from None
    return spelled


def check_regular_file(path: Path) -> None:
    """Check that a path, if it exists, is a file or a folder, and not a pipe or a device.

    Reading those might never end.

    Raises:
        DataError: it is something else; the message says what to do.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path} is a pipe or a device, not a file. Save what it holds to a file and name that.")


def split_at_returns(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; where the first has a carriage return within, as an old Macintosh ends lines, these end all lines.

    In any other text a carriage return within a line is a character like others.
    """
    iterator = iter(lines)
    first = next(iterator, "")
    if "\r" not in first.rstrip("\r\n"):
        yield from chain([first] if first else [], iterator)
        return
    for line in chain([first], iterator):
        yield from re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", line)


class LineStart(NamedTuple):
    """Where a line of a file begins.

    Attributes:
        number: of the line, counted from 1.
        offset: bytes before it.
    """

    number: int
    offset: int


class FileLines:
    """The lines of a file, read as they are asked for.

    Args:
        path: the file.
        compressed: whether it is compressed: with zstandard if its name ends in ``.zst``, else with gzip.
        keep_invalid: bytes that are not UTF-8 become lone surrogates, so that only their own line is unusable;
            otherwise they are an error. UTF-16 is an error either way.
        encoding: of the text, as ``check_encoding`` returns it; empty for UTF-8.
        longest: the longest line in bytes.
        start: the line to begin with, of a file in UTF-8 that is not compressed; None for the first.

    Attributes:
        offset: bytes before the line that was read last; it is only known of a file that ``start`` goes with.

    Iterating raises :class:`DataError` if the compression is broken, a line is too long or, without ``keep_invalid``,
    not in the encoding. The file is closed after the last line, or by :meth:`close`.
    """

    def __init__(
        self,
        path: Path,
        *,
        compressed: bool = False,
        keep_invalid: bool = False,
        encoding: str = "",
        longest: int = LONGEST_LINE,
        start: LineStart | None = None,
    ) -> None:
        check_regular_file(path)
        self._path, self._compressed, self._keep_invalid = path, compressed, keep_invalid
        self._encoding, self._longest, self._start = encoding, longest, start or LineStart(1, 0)
        self.offset = 0
        self._file = path.open("rb")
        self._size = path.stat().st_size

    def position(self) -> int:
        """Return how many bytes of the file were read."""
        return self._size if self._file.closed else self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[str]:
        with self._file:
            if not self._compressed and (kind := kind_of(self._file.read(KIND_BYTES))):
                raise DataError(f"{self._path} is {kind}")
            self._file.seek(self._start.offset)
            file, broken = self._decompressed()
            lines = self._utf8_lines(file) if self._encoding in ("", "utf-8") else self._decoded_lines(file)
            try:
                yield from lines
            except broken as error:
                ending = ZSTANDARD if self._is_zstandard else GZIP
                raise DataError(f"{self._path} is broken as a {ending} file: {error}") from None

    @property
    def _is_zstandard(self) -> bool:
        return self._path.name.lower().endswith(ZSTANDARD)

    def _decompressed(self) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
        """Return what gives the bytes of the text, and the errors that say that the compression is broken."""
        if not self._compressed:
            return cast(IO[bytes], self._file), ()
        if not self._is_zstandard:
            return cast(IO[bytes], gzip.GzipFile(fileobj=self._file)), (EOFError, gzip.BadGzipFile, zlib.error)
        zstandard: Any = require("zstandard", "files")
        reader = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True, closefd=False)
        return cast(IO[bytes], io.BufferedReader(reader, PIECE_BYTES)), (zstandard.ZstdError,)

    def _utf8_lines(self, file: IO[bytes]) -> Iterator[str]:
        offset, number = self._start.offset, self._start.number - 1  # bytes and lines before the line
        errors = "surrogateescape" if self._keep_invalid else "strict"
        while line := self._line(file, number + 1, offset):
            number += 1
            if number == 1:
                self._refuse_utf16(line)
            try:
                text = line.decode("utf-8", errors)
            except UnicodeDecodeError as error:
                raise self._undecodable(number, offset + error.start, line[error.start]) from None
            self.offset = offset
            offset += len(line)
            yield text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text

    def _line(self, file: IO[bytes], number: int, offset: int) -> bytes:
        """Return the next line; its length is checked while it is read."""
        line = file.readline(PIECE_BYTES)
        if len(line) == PIECE_BYTES and not line.endswith(b"\n"):
            pieces, length = [line], len(line)
            while piece := file.readline(PIECE_BYTES):
                pieces.append(piece)
                length += len(piece)
                self._check_length(number, length)
                self._check_expansion(offset + length)
                if piece.endswith(b"\n"):
                    break
            line = b"".join(pieces)
        self._check_expansion(offset + len(line))
        return line

    def _decoded_lines(self, file: IO[bytes]) -> Iterator[str]:
        """Yield the lines of another encoding than UTF-8, in which a line feed may be several bytes."""
        number = length = 0
        with io.TextIOWrapper(file, encoding=self._encoding, newline="\n") as text:
            try:
                while line := text.readline(self._longest + 1):
                    number += 1
                    self._check_length(number, len(line))
                    length += len(line)
                    self._check_expansion(length)
                    yield line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            except (UnicodeDecodeError, UnicodeError) as error:
                reason = getattr(error, "reason", "") or str(error)
                where = f"{self._path}: what follows line {number}" if number else f"{self._path}"
                raise DataError(
                    f"{where} is not {self._encoding} ({reason}). State the encoding that the file is in: "
                    "--encoding NAME."
                ) from None

    def _check_length(self, number: int, length: int) -> None:
        if length > self._longest:
            raise DataError(
                f"{self._path}:{number} is longer than {self._longest >> 20} MiB, the longest line allowed."
            )

    def _check_expansion(self, length: int) -> None:
        if self._compressed and length > CHECKED_EXPANSION and length > LARGEST_EXPANSION * max(self._file.tell(), 1):
            raise DataError(
                f"{self._path} holds more than {LARGEST_EXPANSION} times its size in text, as no usual file does. "
                "Decompress it (gunzip) if it is meant to."
            )

    def _refuse_utf16(self, line: bytes) -> None:
        if name := _utf16_of(line):
            raise DataError(
                f"{self._path}:1: byte 0x{line[0]:02x} at byte 0 of the file is not UTF-8. It looks like UTF-16: add "
                f"--encoding {name}, or convert the file: iconv -f UTF-16 -t UTF-8"
            )

    def _undecodable(self, number: int, offset: int, byte: int) -> DataError:
        where = f"byte {offset}" + (" of the uncompressed text" if self._compressed else " of the file")
        return DataError(f"{self._path}:{number}: byte 0x{byte:02x} at {where} is not UTF-8. {OTHER_ENCODING}")


# What files of other kinds begin with, and what to do with them.
_KINDS = {
    b"\x1f\x8b": "compressed with gzip: add .gz to its name, or decompress it (gunzip).",
    b"\x28\xb5\x2f\xfd": "compressed with zstandard: add .zst to its name, or decompress it (unzstd).",
    b"PK\x03\x04": "a zip archive: unpack it; a workbook (.xlsx) can be saved as .csv.",
    b"PAR1": "a parquet file: let its name end in .parquet.",
    LFS_POINTER: "a Git LFS pointer and not the file itself: run git lfs pull.",
}


KIND_BYTES = max(map(len, _KINDS))


def kind_of(start: bytes) -> str:
    """Return what a file is that is no text, by its first bytes, and what to do; empty if it may be text."""
    return next((kind for first, kind in _KINDS.items() if start.startswith(first)), "")


def _utf16_of(start: bytes) -> str:
    """Return the name of the UTF-16 that a text seems to be in; empty if it does not."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(start) >= 4 and start[:4].count(0) == 2 and start[0] != start[1]:
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return ""


OTHER_ENCODING = (
    "State the encoding that the text is in, such as --encoding windows-1252 or latin-1, "
    "or convert it: iconv -f WINDOWS-1252 -t UTF-8"
)


class PipeLines:
    """Lines from a file descriptor, read without a thread, so that Ctrl-C always works.

    Bytes that are not UTF-8 become lone surrogates.

    Args:
        descriptor: where to read from: a pipe, a terminal or a file.
        encoding: of the text, as ``check_encoding`` returns it; empty for UTF-8.

    Iterating raises :class:`DataError` if a line is too long or not in the encoding that is stated.
    """

    def __init__(self, descriptor: int, encoding: str = "") -> None:
        self._descriptor = descriptor
        self._decoder = None if encoding in ("", "utf-8") else codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
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
        if self._first and not self._lines and not self._incomplete and (kind := kind_of(chunk)):
            raise DataError(f"standard input is {kind}")
        if self._first and self._decoder is None and not self._incomplete and (name := _utf16_of(chunk)):
            raise DataError(f"standard input looks like UTF-16: add --encoding {name}.")
        if self._decoder is not None:  # from here on, text of every encoding is UTF-8
            try:
                chunk = self._decoder.decode(chunk, self._ended).encode("utf-8", errors="surrogatepass")
            except UnicodeError as error:
                raise DataError(f"standard input is not {self._encoding}: {error}") from None
        self._incomplete.append(chunk)
        if self._ended or b"\n" in chunk:
            *lines, rest = b"".join(self._incomplete).split(b"\n")
            lines = [line + b"\n" for line in lines]
            if self._ended and rest:
                lines.append(rest)
            self._incomplete = [rest]
            self._lines = lines[::-1]
        elif sum(map(len, self._incomplete)) > LONGEST_LINE:
            raise DataError(f"standard input: a line is longer than {LONGEST_LINE >> 20} MiB, the longest allowed.")
