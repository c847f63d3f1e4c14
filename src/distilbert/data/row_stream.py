"""One reader of rows for the command line and for training: any format, a row at a time, each with its place.

Memory stays constant, except for a ``.json`` file, which is parsed whole. A row that cannot be used does not end the
reading: it says what is wrong with it, and the caller decides.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import DataError
from .arrow import classes_of_parquet, open_parquet, parquet_batches, with_class_names
from .conll_format import read_sentences
from .delimited_table import LINES_TO_DETECT, read_delimited, written_delimiter
from .messages import type_name
from .squad_format import read_questions
from .text_lines import (
    LONGEST_LINE,
    OTHER_ENCODING,
    FileLines,
    LineStart,
    check_encoding,
    check_regular_file,
    split_at_returns,
)

BLANK = "blank"  # the problem of an empty line: it is no row, and no error either
PARQUET_BATCH = 256  # rows of a parquet file that are in memory at once
NOT_UTF8 = f"not valid UTF-8. {OTHER_ENCODING}."  # the problem of a row with other bytes
LONGEST_JSON = 1 << 30  # bytes of a line of a .json file, which may hold all of it
SQUAD = "squad"  # the format of a .json file in the form of SQuAD


class Row(NamedTuple):
    """One row of an input.

    Attributes:
        place: where it stands, as messages call it: ``reviews.csv:12`` (its first line, if a quoted field has line
            breaks) or ``reviews.json, item 3``.
        value: its values by column; where columns need no names, also a text or a list of fields.
        problem: why it cannot be used; empty if it can.
    """

    place: str
    value: Any = None
    problem: str = ""


@dataclass(frozen=True)
class ReadingRules:
    """What the users of the reader want to be different.

    Attributes:
        delimiter: between the columns of ``.csv``, ``.tsv``, ``.conll`` and ``.txt``; empty for the usual one, and in
            tables with a header for the one that is detected.
        encoding: of files of text; empty for UTF-8.
        named_columns: every row must have columns with names: a line of a ``.txt`` file is a column ``text``, and JSON
            must hold objects. Otherwise a row may also be a text or a list of fields.
        json_array: a ``.json`` file must hold an array. Otherwise it may also hold one object, an object a line, or
            questions in the form of SQuAD.
        class_names: where a parquet file has names for its class numbers, use them.
        word_column: the column of the word in a ``.conll`` file, counted from 1; 0 for the one that it shows.
        tag_column: the same for the tag.
        keep_invalid: bytes that are not UTF-8 are a problem of their own row only; otherwise they end the reading.
        may_be_empty: a file without anything in it has no rows, whatever its format; otherwise it is an error where the
            format demands a header or a value.
    """

    delimiter: str = ""
    encoding: str = ""
    named_columns: bool = True
    json_array: bool = False
    class_names: bool = True
    word_column: int = 0
    tag_column: int = 0
    keep_invalid: bool = False
    may_be_empty: bool = False


@dataclass
class RowStream:
    """The rows of one input, and what is known about it before they are read.

    Attributes:
        name: the input, as messages call it.
        format: one of ``file_formats.FORMATS``, or ``SQUAD``.
        rows: the rows; they can be read once.
        columns: names of the columns, where the format states them before the rows.
        size: bytes of the file; None if its rows are not read in the order of its bytes, and for a pipe.
        position: returns how many of those bytes were read.
        ready: tells whether a row can be had without waiting.
        total: number of rows, where the format states it.
        columns_to_read: those that will be used; None for all. A parquet file is read without the others.
        unnamed: columns to which the header gives no name; they are used only where they are asked for.
        repeated: names that the header gives to several columns, so that it is unknown which one is meant.
        starts: where its lines begin, if that was asked for and the format can be read from a line on; else None.
    """

    name: str
    format: str
    rows: Iterator[Row] = field(default_factory=lambda: iter(()))
    columns: list[str] | None = None
    size: int | None = None
    position: Callable[[], int] = lambda: 0
    ready: Callable[[], bool] = lambda: True
    total: int | None = None
    columns_to_read: list[str] | None = None
    unnamed: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    starts: LineStarts | None = None


class LineStarts:
    """The lines of a file, which remembers where they begin, so that another reader can begin at one of them.

    A quotation mark in a ``.tsv`` file means different things, depending on the lines before it. So nobody can begin
    below one. Nor in a file whose lines end in carriage returns.

    Args:
        lines: those of a file in UTF-8 that is not compressed.
        format: of the file.
    """

    def __init__(self, lines: FileLines, format: str) -> None:
        self._lines, self._is_tsv = lines, format == "tsv"
        self._first, self._offsets = 1, array("Q")
        self._are_known = True

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self._offsets.append(self._lines.offset)
            if (self._is_tsv and '"' in line) or "\r" in line[:-2]:
                self._are_known = False
            yield line

    def start_of(self, number: int) -> LineStart | None:
        """Return the start of a line that was read, and forget those of the lines before it."""
        place = number - self._first
        if not self._are_known or not 0 <= place < len(self._offsets):
            return None
        self._first, self._offsets = number, self._offsets[place:]
        return LineStart(number, self._offsets[0])


class RowStart(NamedTuple):
    """Where to begin to read.

    Attributes:
        rows: how many rows to pass over, blank ones included.
        line: the line where the next row begins, if the format can be read from there; see :class:`LineStart`. It makes
            passing over rows cheap.
    """

    rows: int
    line: LineStart | None = None


@contextmanager
def open_rows(
    path: Path,
    format: str,
    compressed: bool,
    rules: ReadingRules,
    name: str = "",
    start: RowStart | None = None,
    *,
    with_starts: bool = False,
) -> Iterator[RowStream]:
    """Open a file and close it at the end.

    Args:
        path: the file.
        format: one of ``file_formats.FORMATS``.
        compressed: whether it is compressed.
        rules: how to read it.
        name: as messages call it; default: its path.
        start: the row to begin with; None for the first.
        with_starts: remember where lines begin, for a later ``start``.

    Raises:
        DataError: the file or its header cannot be used; while iterating, the same for what can only be seen then.
        MissingExtraError: pyarrow is needed and not installed.
    """
    check_regular_file(path)
    stream = RowStream(name or str(path), format)
    if rules.may_be_empty and path.stat().st_size == 0:
        yield stream
        return
    if format == "parquet":
        with open_parquet(path) as table:
            names = table.schema_arrow.names
            stream.columns, stream.repeated = list(dict.fromkeys(names)), repeated_names(names)
            stream.total = table.metadata.num_rows
            stream.rows = _parquet_rows(table, stream, rules, start.rows if start else 0)
            yield stream
        return
    longest = LONGEST_JSON if format == "json" else LONGEST_LINE
    encoding = check_encoding(rules.encoding)

    def open_lines(first: LineStart | None = None) -> FileLines:
        return FileLines(
            path,
            compressed=compressed,
            keep_invalid=rules.keep_invalid,
            encoding=encoding,
            longest=longest,
            start=first,
        )

    lines = open_lines()
    line = None if start is None else start.line
    later = None if line is None else open_lines(line)
    stream.size, stream.position = path.stat().st_size, (later or lines).position
    if with_starts and not compressed and encoding in ("", "utf-8") and format in ("csv", "tsv", "jsonl", "txt"):
        stream.starts = LineStarts(lines, format)
    try:
        if later is not None and line is not None:
            read_lines(stream, lines, rules, enumerate(later, line.number))
        else:
            read_lines(stream, lines if stream.starts is None else stream.starts, rules)
            if start is not None:
                stream.rows = islice(stream.rows, start.rows, None)
        yield stream
    finally:
        lines.close()
        if later is not None:
            later.close()


def read_lines(
    stream: RowStream, lines: Iterable[str], rules: ReadingRules, later: Iterator[tuple[int, str]] | None = None
) -> None:
    """Give a stream the rows that lines hold, in the stream's format.

    Args:
        stream: gets the rows.
        lines: all lines of the input.
        rules: how to read them.
        later: lines further down with their numbers, to be read as rows in place of those at the beginning. They go
            with formats of which every row can be read by itself: csv, tsv, jsonl and txt.

    Raises:
        DataError: the header cannot be used, or the content of a JSON file.
    """
    numbered = enumerate(lines, 1) if later is None else later
    if stream.format in ("csv", "tsv"):
        _read_table(stream, lines, rules, later)
    elif stream.format == "json":
        _read_json(stream, lines, rules)
    elif stream.format == "jsonl":
        stream.rows = _json_lines(numbered, stream.name, rules)
    elif stream.format == "conll":
        sentences = read_sentences(
            enumerate(lines, 1), stream.name, written_delimiter(rules.delimiter), rules.word_column, rules.tag_column
        )
        stream.rows = (Row(*sentence) for sentence in sentences)
    else:
        stream.columns = ["text"] if rules.named_columns else None
        numbered = enumerate(split_at_returns(lines), 1) if later is None else later
        stream.rows = _text_rows(numbered, stream.name, rules)
    if stream.format != "conll":
        stream.rows = map(partial(_checked, may_have_bytes=stream.format != "jsonl"), stream.rows)


def without_problems(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows, without the blank ones.

    Raises:
        DataError: a row has a problem.
    """
    for row in rows:
        if not row.problem:
            yield row
        elif row.problem != BLANK:
            raise DataError(f"{row.place}: {row.problem}")


def repeated_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names that stand more than once."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def _checked(row: Row, may_have_bytes: bool) -> Row:
    """Mark a row whose text is not valid Unicode: bytes that were not UTF-8, or half of a surrogate pair in JSON.

    Both have the same form in Python. So the reader of JSON lines looks for the bytes itself.
    """
    value = row.value
    for text in value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,):
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                character = text[error.start]
                if may_have_bytes and "\udc80" <= character <= "\udcff":
                    return Row(row.place, None, NOT_UTF8)
                problem = f"a lone surrogate \\u{ord(character):x}, which is half a character"
                return Row(row.place, None, problem)
    return row


def _is_unicode(text: str) -> bool:
    try:
        text.isascii() or text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# Text: a row a line.


def _text_rows(lines: Iterator[tuple[int, str]], name: str, rules: ReadingRules) -> Iterator[Row]:
    delimiter = written_delimiter(rules.delimiter) or "\t"
    for number, line in lines:
        place = f"{name}:{number}"
        if not line.strip():
            yield Row(place, None, BLANK)
        elif rules.named_columns:
            yield Row(place, {"text": line.strip()})
        else:
            yield Row(place, line.rstrip("\r\n").split(delimiter))


# Tables with a header.


def _read_table(
    stream: RowStream, lines: Iterable[str], rules: ReadingRules, later: Iterator[tuple[int, str]] | None
) -> None:
    ahead = LINES_TO_DETECT if stream.size is not None else 0  # a pipe is not read before somebody needs its rows
    table = read_delimited(
        lines, stream.format, stream.name, rules.delimiter, ahead, later, may_be_empty=rules.may_be_empty
    )
    if not table.columns:
        return
    stream.columns, stream.unnamed, stream.repeated = table.columns, table.unnamed, table.repeated
    stream.rows = (
        Row(f"{stream.name}:{row.number}", row.value, row.problem or ("" if row.value else BLANK)) for row in table.rows
    )


# JSON.


def _json_lines(lines: Iterator[tuple[int, str]], name: str, rules: ReadingRules) -> Iterator[Row]:
    for number, line in lines:
        place = f"{name}:{number}"
        if not line.strip():
            yield Row(place, None, BLANK)
            continue
        if not _is_unicode(line):
            yield Row(place, None, NOT_UTF8)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Row(place, None, f"not JSON: {error}. One JSON value a line is expected.")
        else:
            yield _json_row(place, value, rules)


def _read_json(stream: RowStream, lines: Iterable[str], rules: ReadingRules) -> None:
    name, lines = stream.name, list(lines)
    content = "".join(lines)
    if not content.strip():
        if rules.may_be_empty:
            return
        raise DataError(f"{name} is empty.")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        is_lines = "Extra data" in str(error)
        if is_lines and not rules.json_array:
            stream.rows = _json_lines(enumerate(lines, 1), name, rules)
            return
        advice = " If it holds one object a line, name it .jsonl or state --format jsonl." if is_lines else ""
        raise DataError(f"{name}:{getattr(error, 'lineno', 1)}: not JSON: {error}.{advice}") from None
    if isinstance(value, list):
        stream.size, stream.total = None, len(value)
        stream.rows = (_json_row(f"{name}, item {number}", item, rules) for number, item in enumerate(value, 1))
    elif rules.json_array:
        raise DataError(f"{name} must hold an array of objects or texts, got a {type_name(value)}.")
    elif isinstance(value, dict) and isinstance(value.get("data"), list):
        stream.format = SQUAD
        stream.rows = (Row(*question) for question in read_questions(value["data"], name))
    else:
        stream.rows = iter([_json_row(f"{name}:1", value, rules)])


def _json_row(place: str, value: Any, rules: ReadingRules) -> Row:
    if rules.named_columns and isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        value = {"text": value[0], **value[1]}  # a text and its annotations, the form of spaCy
    if isinstance(value, dict) or (isinstance(value, (str, list)) and not rules.named_columns):
        return Row(place, value)
    expected = "a JSON object" if rules.named_columns else "an object or a text"
    return Row(place, None, f"{expected} is expected, got {value!r:.40} of type {type_name(value)}.")


# Parquet.


def _parquet_rows(table: Any, stream: RowStream, rules: ReadingRules, start: int) -> Iterator[Row]:
    classes = classes_of_parquet(table.schema_arrow) if rules.class_names else {}
    number = group = 0
    while group < table.num_row_groups and number + table.metadata.row_group(group).num_rows <= start:
        number += table.metadata.row_group(group).num_rows
        group += 1
    for batch in parquet_batches(table, stream.name, PARQUET_BATCH, stream.columns_to_read, group):
        for value in batch:
            number += 1
            if number <= start:
                continue
            yield Row(f"{stream.name}, row {number}", with_class_names(value, classes) if classes else value)
