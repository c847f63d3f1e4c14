"""Rows from files and pipes: one reader a format, each in constant memory but for a JSON array."""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from ..core.errors import DataError, UsageError
from ..core.extras import require
from .row_formats import Row, checked, read_array, read_jsonl, read_records, read_texts

ENDINGS = {
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "txt",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
FORMATS = ("infer", "json", "jsonl", "csv", "tsv", "txt", "parquet", "pipe")


@dataclass
class Source:
    """Where rows come from.

    Attributes:
        name: as messages call it.
        format: one of ``ENDINGS``' values.
        rows: the rows, once.
        header: names of the columns, where the format has them up front.
        size: bytes of the file; None for a pipe.
        position: returns how many of those bytes were read.
        ready: tells whether a row can be had without waiting.
        unit: what ``Row.number`` counts.
        total: how many rows there are, where the format says so.
        only: the columns that will be looked at; None: all. Parquet leaves the others unread.
    """

    name: str
    format: str
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    header: list[str] | None = None
    size: int | None = None
    position: Callable[[], int] = lambda: 0
    ready: Callable[[], bool] = lambda: True
    unit: str = "line"
    total: int | None = None
    only: list[str] | None = None

    def place(self, row: Row) -> str:
        """Name a row in a message: ``reviews.csv:12``, or ``reviews.json, item 12``."""
        return f"{self.name}:{row.number}" if self.unit == "line" else f"{self.name}, {self.unit} {row.number}"


def format_of(path: str | Path) -> tuple[str, bool]:
    """Return the format that a name's ending tells (empty: none), and whether it is compressed (``.gz``)."""
    name = Path(path).name.lower()
    packed = name.endswith(".gz")
    return ENDINGS.get(Path(name.removesuffix(".gz")).suffix, ""), packed


def input_format(path: str | None, stated: str) -> str:
    """Return the format to read ``path`` (None: standard input) in, given ``--format``.

    ``json`` and ``pipe`` speak about what is printed as well, so a name that tells another format wins over ``json``.
    """
    if path is None:
        return "txt" if stated in ("infer", "json", "pipe") else stated
    if stated == "pipe":
        raise UsageError("--format pipe reads standard input; leave --input out, or leave --format out.")
    told, packed = format_of(path)
    kind = stated if stated not in ("infer", "json") else told or stated.replace("infer", "")
    if not kind:
        raise UsageError(
            f"The name {path!r} does not tell its format: end it in {', '.join(ENDINGS)} (text ones also .gz), "
            f"or state --format {'|'.join(FORMATS[1:-1])}."
        )
    if kind == "parquet" and packed:
        raise UsageError(f"{path}: parquet is compressed inside already; .gz goes with the text formats.")
    return kind


@contextmanager
def open_source(path: str | None, stated: str) -> Iterator[Source]:
    """Open a file, or standard input where ``path`` is None, and close it at the end.

    Raises:
        UsageError: the format is not told, or there is no such file.
        DataError: the header cannot be used.
    """
    kind = input_format(path, stated)
    with ExitStack() as opened:
        yield _open_pipe(kind) if path is None else _open_file(path, kind, opened)


def _open_file(path: str, kind: str, opened: ExitStack) -> Source:
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"There is no file {path!r} to read." + (" It is a folder." if file.is_dir() else ""))
    source = Source(path, kind, size=file.stat().st_size)
    if kind == "parquet":
        _read_parquet(source, file, opened)
        return source
    raw = opened.enter_context(file.open("rb"))
    source.position = lambda: 0 if raw.closed else raw.tell()
    packed = format_of(path)[1]
    binary: IO[bytes] = raw
    if packed:
        binary = cast(IO[bytes], opened.enter_context(gzip.GzipFile(fileobj=raw, mode="rb")))
    if kind == "json":
        source.unit = "item"
        source.rows = read_array(binary, path)
        return source
    # Bytes that are no UTF-8 become lone surrogates, which make just their own row unusable.
    text = opened.enter_context(io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="\n"))
    _read_lines(source, _intact(text, source) if packed else text)
    return source


def _open_pipe(kind: str) -> Source:
    from .stdin import LineSource

    source = Source("standard input", kind)
    if kind == "parquet":
        raise UsageError("A parquet file cannot be read from a pipe; name it with --input.")
    lines = LineSource(sys.stdin.fileno())
    source.ready = lines.ready
    _read_lines(source, lines)
    return source


def _read_lines(source: Source, lines: Iterable[str]) -> None:
    if source.format in ("csv", "tsv"):
        _read_table(source, lines)
    else:
        read = read_jsonl if source.format == "jsonl" else read_texts
        source.rows = (checked(row) for row in read(lines))


def _intact(lines: Iterable[str], source: Source) -> Iterator[str]:
    """Pass lines on; a broken ``.gz`` becomes one message that names the file."""
    try:
        yield from lines
    except (EOFError, OSError) as error:
        raise DataError(f"{source.name} is broken as a .gz file: {error}") from None


def _read_table(source: Source, lines: Iterable[str]) -> None:
    csv.field_size_limit(sys.maxsize)
    if source.format == "csv":
        reader = csv.reader(lines, strict=True)
    else:  # in a TSV a quotation mark is text
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        header = next(reader, None)
    except csv.Error as error:
        raise DataError(f"{source.name}:1: the header cannot be read: {error}") from None
    if not header:
        raise DataError(f"{source.name}:1: a header with the names of the columns is expected, found nothing.")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{source.name}:1: the header has {', '.join(map(repr, twice))} more than once.")
    source.header = header
    source.rows = (checked(row) for row in read_records(reader, header))


def _read_parquet(source: Source, path: Path, opened: ExitStack) -> None:
    parquet = require("pyarrow.parquet", "parquet")
    arrow = require("pyarrow", "parquet")
    try:
        table = opened.enter_context(parquet.ParquetFile(path))
    except arrow.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file: {error}") from None
    source.unit = "row"
    source.header = list(table.schema_arrow.names)
    source.size, source.total = None, table.metadata.num_rows  # its bytes are not read in order

    def rows() -> Iterator[Row]:
        number = 0
        for batch in table.iter_batches(batch_size=1024, columns=source.only):
            for value in batch.to_pylist():
                number += 1
                yield Row(number, value)

    source.rows = rows()
