"""A corpus: the documents of files, folders and data sets, one at a time, whatever format they are in.

A document is the list of its paragraphs, none of them blank.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError
from .addresses import is_address, path_of
from .data_sources import check_hub_name, is_saved_dataset, load_from_hub, load_saved
from .file_formats import COMPRESSED_PARQUET, COMPRESSIONS, FileFormat, endings_of, format_of
from .messages import listed, type_name
from .row_stream import ReadingRules, Row, open_rows, without_problems
from .text_lines import FileLines, check_encoding, split_at_returns

Sources = Sequence[str | os.PathLike[str]]

FORMATS = ("txt", "jsonl", "parquet")
LONGEST_PARAGRAPH = 1 << 28  # bytes; some corpora, such as text8, are one line of 100 MB
LONGEST_DOCUMENT = 1 << 22  # characters; a longer document of a text file comes in pieces, so that memory is bounded


@dataclass(frozen=True)
class _CorpusSource:
    """One file, saved data set or data set on the hub.

    Attributes:
        name: as messages call it.
        files: those that it consists of; none for a data set on the hub.
        format: of a file; empty for a data set.
        compressed: whether the file is compressed, with gzip or zstandard.
    """

    name: str
    files: tuple[Path, ...] = ()
    format: str = ""
    compressed: bool = False


def documents(sources: Sources, column: str = "text", encoding: str = "") -> Iterator[list[str]]:
    """Return an iterator over the documents of all sources, in order, each as its paragraphs that are not blank.

    Every source is looked up before the first document is read. Memory stays constant: files are read as needed, and
    a document of a text file longer than ``LONGEST_DOCUMENT`` characters comes in pieces.

    Args:
        sources: any of

            - a text file (``.txt`` or no ending): a paragraph a line, a blank line between documents
            - a ``.jsonl`` or ``.ndjson`` file: an object a line, each a document; its lines are the paragraphs
            - either of these compressed (``.gz`` or ``.zst``)
            - a ``.parquet`` file, each row a document
            - a folder: all files below it with such an ending, sorted by their paths, without hidden ones
            - an address of any of these, such as ``s3://bucket/text``
            - a folder written by ``datasets.save_to_disk``
            - the name of a data set on the hub, ``NAME`` or ``NAME:CONFIG``; its split ``train`` is streamed
        column: the column of the text, where there are columns.
        encoding: of files of text; empty for UTF-8.

    Raises:
        DataError: a source does not exist or cannot be read, or there is no such encoding; while iterating, a line or
            row cannot be used.
        MissingExtraError: pyarrow, datasets or what opens an address is needed and not installed.
        UsageError: nothing is known about addresses of this kind.
    """
    resolved, encoding = _resolve(sources), check_encoding(encoding)
    return (paragraphs for source in resolved for paragraphs in _read(source, column, encoding) if paragraphs)


def describe(sources: Sources) -> list[tuple[str, int, int]]:
    """Return what tells whether sources have changed: path, bytes and time of change (ns) of each file, in order.

    Paths are resolved. A data set on the hub gives its name, 0 and 0. Not every store behind an address tells the time.

    Raises:
        DataError: a source does not exist or cannot be read.
    """
    described = []
    for source in _resolve(sources):
        if not source.files:
            described.append((source.name, 0, 0))
        for file in source.files:
            status = file.stat()
            place = str(file) if is_address(str(file)) else file.resolve().as_posix()
            described.append((place, status.st_size, getattr(status, "st_mtime_ns", 0)))
    return described


def name_sources(sources: Sources) -> str:
    """Return the sources as a message calls them: the first three, and how many more there are."""
    names = [repr(os.fspath(source)) for source in _as_list(sources)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _as_list(sources: Sources) -> list[str | os.PathLike[str]]:
    several: list[str | os.PathLike[str]] = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    if not several:
        raise DataError("A corpus needs at least one source: a file, a folder, or the name of a data set.")
    return several


# Looking sources up.


def _resolve(sources: Sources) -> list[_CorpusSource]:
    return [resolved for source in _as_list(sources) for resolved in _look_up(source)]


def _look_up(source: str | os.PathLike[str]) -> list[_CorpusSource]:
    name = os.fspath(source)
    path = path_of(name)
    if path.is_file():
        told = format_of(path.name, FORMATS, without_ending="txt")
        if not told.format:
            raise DataError(
                f"The name {name!r} does not tell its format: text ends in .txt (or has no ending), others in "
                f"{endings_of(FORMATS).removeprefix('.txt, ')}; text and .jsonl may add {' or '.join(COMPRESSIONS)}."
            )
        return [_file(path, told)]
    if path.is_dir():
        return _folder(path)
    if is_address(name):
        raise DataError(f"There is nothing at {name}.")
    check_hub_name(name, FORMATS)
    return [_CorpusSource(name)]


def _folder(folder: Path) -> list[_CorpusSource]:
    if is_saved_dataset(folder):
        return [_CorpusSource(str(folder), tuple(sorted(path for path in folder.rglob("*") if path.is_file())))]
    sources = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(name.startswith(".") for name in path.relative_to(folder).parts)
        told = format_of(path.name, FORMATS)
        if told.format and not is_hidden and path.is_file():
            sources.append(_file(path, told))
    if not sources:
        raise DataError(
            f"The folder {str(folder)!r} has no text in it: no file below it ends in {endings_of(FORMATS)} "
            f"(text and .jsonl also with {' or '.join(COMPRESSIONS)})."
        )
    return sources


def _file(path: Path, told: FileFormat) -> _CorpusSource:
    if told.format == "parquet" and told.compressed:
        raise DataError(f"{path}: {COMPRESSED_PARQUET}")
    return _CorpusSource(str(path), (path,), told.format, told.compressed)


# Reading documents.


def _read(source: _CorpusSource, column: str, encoding: str) -> Iterator[list[str]]:
    """Yield the documents of a source."""
    if source.format == "txt":
        lines = FileLines(source.files[0], compressed=source.compressed, encoding=encoding, longest=LONGEST_PARAGRAPH)
        yield from _text_documents(split_at_returns(lines))
    elif source.format:
        rules = ReadingRules(class_names=False, encoding=encoding)
        with open_rows(source.files[0], source.format, source.compressed, rules) as stream:
            if stream.columns is not None:
                if column not in stream.columns:
                    raise _no_column(source.name, column, stream.columns)
                if column in stream.repeated:
                    raise DataError(f"{source.name} has the column {column!r} more than once. Rename all but one.")
                stream.columns_to_read = [column]
            for row in without_problems(stream.rows):
                yield _document(row, column, row.place)
    else:
        rows = load_saved(Path(source.name)) if source.files else load_from_hub(source.name, "train", streaming=True)
        for number, value in enumerate(rows, 1):
            yield _document(Row(f"{source.name}, row {number}", value), column, source.name)


def _text_documents(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the documents of a text file: a paragraph a line, a blank line between documents."""
    paragraphs: list[str] = []
    size = 0
    for line in lines:
        paragraph = line.strip()
        if paragraph:
            paragraphs.append(paragraph)
            size += len(paragraph)
        if paragraphs and (not paragraph or size > LONGEST_DOCUMENT):
            yield paragraphs
            paragraphs, size = [], 0
    if paragraphs:
        yield paragraphs


def _document(row: Row, column: str, place_of_columns: str) -> list[str]:
    """Return the lines of a row's text that are not blank.

    Raises:
        DataError: the row has no such column, or no text in it.
    """
    if column not in row.value:
        raise _no_column(place_of_columns, column, row.value)
    text = row.value[column]
    if not isinstance(text, str):
        value = f"{repr(text)[:60]} of type {type_name(text)}"
        raise DataError(f"{row.place} must hold a text under {column!r}, got {value}.")
    return [paragraph for line in text.split("\n") if (paragraph := line.strip())]


def _no_column(place: str, column: str, known: Iterable[str]) -> DataError:
    return DataError(f"{place} has no column {column!r}, but {listed(known)}. Name the column that holds the text.")
