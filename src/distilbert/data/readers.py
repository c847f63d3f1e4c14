"""Documents of one source: a reader a format, each a list of paragraphs at a time and in constant memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from ..core.errors import DataError, DistilBertError
from ..core.extras import require

DOCUMENT = 1 << 22  # characters; a longer document of a text file is passed on in parts, so that memory stays bounded
BOM = "\ufeff"


def read_text(path: Path, packed: bool = False) -> Iterator[list[str]]:
    """Yield the documents of a text file: a paragraph a line, a blank line between documents.

    A document of more than ``DOCUMENT`` characters comes in several parts.

    Args:
        path: the file, in UTF-8, with or without a byte order mark.
        packed: whether it is compressed with gzip.

    Raises:
        DataError: a line is not UTF-8, or the compression is broken.
    """
    paragraphs: list[str] = []
    size = 0
    for _, line in read_lines(path, packed):
        paragraph = line.strip()
        if paragraph:
            paragraphs.append(paragraph)
            size += len(paragraph)
        if paragraphs and (not paragraph or size > DOCUMENT):
            yield paragraphs
            paragraphs, size = [], 0
    if paragraphs:
        yield paragraphs


def read_jsonl(path: Path, column: str, packed: bool = False) -> Iterator[list[str]]:
    """Yield a document a line: the text under ``column`` of its JSON object; blank lines are passed over.

    Args:
        path: the file, in UTF-8.
        column: the key of the text.
        packed: whether it is compressed with gzip.

    Raises:
        DataError: a line is no JSON object, lacks the column, holds no text there, or is not UTF-8.
    """
    for number, line in read_lines(path, packed):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is not JSON: {error}. A .jsonl file holds one object a line.") from None
        if not isinstance(row, dict):
            raise DataError(f"{place} must hold a JSON object with a text under {column!r}, got a {kind_of(row)}.")
        if column not in row:
            raise no_column(place, column, row)
        yield split_paragraphs(row[column], place, column)


def read_parquet(path: Path, column: str, rows: int = 256) -> Iterator[list[str]]:
    """Yield a document a row of a parquet file, of which only ``column`` is read, ``rows`` rows at a time.

    Raises:
        DataError: the file is no parquet file, lacks the column, or a row holds no text there.
        MissingExtraError: pyarrow is not installed.
    """
    with open_parquet(path) as table:
        if column not in table.schema_arrow.names:
            raise no_column(str(path), column, table.schema_arrow.names)
        number = 0
        for batch in table.iter_batches(batch_size=rows, columns=[column]):
            for text in batch.column(0).to_pylist():
                number += 1
                yield split_paragraphs(text, f"{path}, row {number}", column)


def open_parquet(path: Path) -> Any:
    """Open a parquet file: a ``pyarrow.parquet.ParquetFile``, to be closed by the caller.

    Raises:
        DataError: the file is no parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "parquet")
    arrow = require("pyarrow", "parquet")
    try:
        return parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise DataError(f"{path} is not a parquet file: {error}") from None


def read_saved(folder: Path, column: str) -> Iterator[list[str]]:
    """Yield a document a row of a folder that ``datasets.save_to_disk`` wrote; of several splits, ``train``.

    Raises:
        DataError: there is no split ``train``, no such column, or a row holds no text there.
        MissingExtraError: datasets is not installed.
    """
    yield from _read_rows(load_saved(folder), str(folder), column)


def read_named(name: str, column: str) -> Iterator[list[str]]:
    """Yield a document a row of the split ``train`` of a data set on the hub, streamed.

    Args:
        name: ``NAME`` or ``NAME:CONFIG``, such as ``wikitext:wikitext-103-raw-v1``.
        column: the column of the text.

    Raises:
        DataError: there is neither a file nor a data set of that name, no such column, or a row holds no text.
    """
    yield from _read_rows(load_named(name, "train", streaming=True), name, column)


def load_saved(folder: Path, split: str = "train") -> Any:
    """Load a folder that ``datasets.save_to_disk`` wrote; of several splits, ``split``.

    Raises:
        DataError: there are splits, but not this one.
        MissingExtraError: datasets is not installed.
    """
    rows = require("datasets", "train").load_from_disk(str(folder))
    if not isinstance(rows, dict):
        return rows
    if split not in rows:
        raise DataError(f"{folder} has the splits {listed(rows)}, but no {split!r}. Name the folder of one of them.")
    return rows[split]


def load_named(name: str, split: str, *, streaming: bool) -> Any:
    """Load a split of a data set on the hub.

    Args:
        name: ``NAME`` or ``NAME:CONFIG``.
        split: such as ``train``.
        streaming: read rows as they are asked for, instead of fetching all of them first.

    Raises:
        DataError: there is neither a file nor a data set of that name, or it has no such split.
    """
    nothing = f"There is no file or folder {name!r} (looked in {Path.cwd()})"
    try:
        datasets = require("datasets", "train")
    except DistilBertError as error:
        raise DataError(f"{nothing}. If it is the name of a data set on the hub: {error}") from None
    data_set, _, config = name.partition(":")
    try:
        return datasets.load_dataset(data_set, config or None, split=split, streaming=streaming)
    except Exception as error:  # that library raises errors of many kinds, by version and by file system
        raise DataError(f"{nothing}, and 'datasets' cannot load a data set of that name: {error}") from error


def split_paragraphs(text: object, place: str, column: str) -> list[str]:
    """Return the lines of a document's text that are not blank.

    Raises:
        DataError: ``text`` is no string; the message names its ``place``.
    """
    if not isinstance(text, str):
        raise DataError(f"{place} must hold a text under {column!r}, got {repr(text)[:60]} of type {kind_of(text)}.")
    return [paragraph for line in text.split("\n") if (paragraph := line.strip())]


def no_column(place: str, column: str, known: Iterable[str]) -> DataError:
    """Return the error for a column that is not there; it names those that are."""
    return DataError(f"{place} has no column {column!r}, but {listed(known)}. Name the column that holds the text.")


def _read_rows(rows: Iterable[dict[str, Any]], name: str, column: str) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 1):
        if column not in row:
            raise no_column(name, column, row)
        yield split_paragraphs(row[column], f"{name}, row {number}", column)


def read_lines(path: Path, packed: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file, their ends included, with their numbers, from 1; a byte order mark is dropped.

    Raises:
        DataError: a line is not UTF-8, or the compression is broken.
    """
    offset = 0  # bytes before the line
    with path.open("rb") as raw:
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb")) if packed else raw
        try:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise _undecodable(path, packed, number, offset + error.start, line[error.start]) from None
                offset += len(line)
                yield number, text.removeprefix(BOM) if number == 1 else text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path} is broken as a .gz file: {error}") from None


def _undecodable(path: Path, packed: bool, number: int, offset: int, byte: int) -> DataError:
    where = f"byte {offset}" + (" of the uncompressed text" if packed else " of the file")
    if offset == 0 and byte in (0xFE, 0xFF):
        advice = "It looks like UTF-16; convert it: iconv -f UTF-16 -t UTF-8"
    else:
        advice = "Convert it from the encoding it is in, for example: iconv -f WINDOWS-1252 -t UTF-8"
    return DataError(f"{path}:{number}: byte 0x{byte:02x} at {where} is not UTF-8. {advice}")


def listed(names: Iterable[str]) -> str:
    """Return names as a message shows them: quoted, a comma between."""
    return ", ".join(map(repr, names)) or "none at all"


def kind_of(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__
