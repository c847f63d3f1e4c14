"""Rows of each format, from lines or bytes; a row that cannot be used is passed on with its problem."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from ..core.errors import DataError

BLANK = "blank"  # the problem of a line that is no row: left out, and no error


class Row(NamedTuple):
    """One row of an input.

    Attributes:
        number: its line (the first one, if a quoted cell spans several), or its place in an array or table; from 1.
        value: columns by name, the fields of a line, or a single text.
        problem: why it cannot be used; empty if it can.
    """

    number: int
    value: Any
    problem: str = ""


def read_texts(lines: Iterable[str]) -> Iterator[Row]:
    """A line a row, its fields separated by tabs."""
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        yield Row(number, line.split("\t")) if line.strip() else Row(number, None, BLANK)


def read_jsonl(lines: Iterable[str]) -> Iterator[Row]:
    """Yield a row a line of JSON."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield Row(number, None, BLANK)
            continue
        try:
            yield _row(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield Row(number, None, f"not JSON: {error}")


def read_records(reader: Any, header: list[str]) -> Iterator[Row]:
    """Yield the rows of a ``csv.reader`` below its header."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(number, None, f"broken CSV: {error}")
            continue
        if len(cells) == len(header):
            yield Row(number, dict(zip(header, cells, strict=True)))
        elif cells:
            yield Row(number, None, f"{len(cells)} cells, but the header names {len(header)}")
        else:
            yield Row(number, None, BLANK)


def read_array(file: IO[bytes], name: str) -> Iterator[Row]:
    """Yield the items of a JSON array, which is read whole; ``name`` is that of its file."""
    try:
        values = json.loads(file.read().decode("utf-8-sig"))
    except (ValueError, RecursionError, EOFError, gzip.BadGzipFile) as error:
        advice = ""
        if "Extra data" in str(error):
            advice = " If it holds one object a line, name it .jsonl or state --format jsonl."
        raise DataError(f"{name} is not JSON: {error}.{advice}") from None
    finally:
        file.close()
    if not isinstance(values, list):
        raise DataError(f"{name} must hold an array of objects or texts, got a {type(values).__name__}.")
    for number, value in enumerate(values, 1):
        yield checked(_row(number, value))


def _row(number: int, value: Any) -> Row:
    if isinstance(value, (dict, str, list)):
        return Row(number, value)
    return Row(number, None, f"an object or a text is expected, got {value!r:.40} of type {type(value).__name__}")


def checked(row: Row) -> Row:
    """Mark a row whose text is not valid Unicode."""
    values = row.value.values() if isinstance(row.value, dict) else row.value if isinstance(row.value, list) else ()
    for text in [row.value, *values]:
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                return Row(row.number, None, "not valid UTF-8")
    return row
