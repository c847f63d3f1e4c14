"""Sources of labelled data to tables, whatever their format.

What the columns mean is decided in ``columns.py``; here a cell is whatever the format has: text, a number, a list.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from .arrow import dataset_table, parquet_table
from .conll import read_sentences
from .readers import kind_of, listed, load_named, load_saved, read_lines
from .squad import read_questions
from .table import Row, Table, table_of

ENDINGS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".parquet": "parquet",
    ".pq": "parquet", ".conll": "conll", ".txt": "txt",
}  # fmt: skip
SAVED = ("dataset_dict.json", "state.json")  # what datasets.save_to_disk leaves beside the rows
_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?(:[\w.-]+)?")  # of a data set: NAME, OWNER/NAME, and either with :CONFIG


def read_table(source: str, task: str, *, delimiter: str = "", split: str = "train") -> Table:
    """Read all rows of a source.

    Args:
        source: a file, whose ending tells the format; a folder that ``datasets.save_to_disk`` wrote; or the name of a
            data set on the hub, ``NAME`` or ``NAME:CONFIG``.
        task: what they are for: it decides what a ``.txt`` file is (lines for fill-mask, words and tags for
            token-classification).
        delimiter: between the columns of a ``.csv``, ``.tsv``, ``.conll`` or ``.txt`` file; empty for what is usual.
        split: of a data set that has several.

    Raises:
        DataError: there is no such source, it cannot be read, or it has no rows.
        MissingExtraError: pyarrow or datasets is needed and not installed.
    """
    path = Path(source)
    if path.is_file():
        table = _read_file(path, source, task, delimiter)
    elif path.is_dir():
        if not any((path / mark).is_file() for mark in SAVED):
            raise DataError(f"The folder {source!r} is no data set that 'datasets' saved. Name the files in it.")
        table = dataset_table(load_saved(path, split), source)
    else:
        is_local = len(path.parts) > 1 and path.parent.is_dir()  # data/x beside a folder data is no OWNER/NAME
        if is_local or _format(path) or not _NAME.fullmatch(source):
            raise DataError(f"There is no file or folder {source!r} (looked in {Path.cwd()}).{_neighbours(path)}")
        table = dataset_table(load_named(source, split, streaming=False), source)
    if not table.rows:
        raise DataError(f"{source} has no rows.")
    return table


def _read_file(path: Path, name: str, task: str, delimiter: str) -> Table:
    kind, packed = _format(path), path.name.lower().endswith(".gz")
    if not kind:
        raise DataError(f"The name {name!r} does not tell its format: known are {', '.join(ENDINGS)}, also with .gz.")
    if kind == "parquet":
        if packed:
            raise DataError(f"{name}: parquet is compressed inside already; .gz goes with the other formats.")
        return parquet_table(path, name)
    lines = read_lines(path, packed)
    if kind == "conll" or (kind == "txt" and task == "token-classification"):
        return table_of(name, read_sentences(lines, name, delimiter))
    if kind == "txt":
        if task != "fill-mask":
            raise DataError(f"{name}: {task} needs columns, which a .txt file has not; use .tsv, .csv or .jsonl.")
        texts = ((number, line.strip()) for number, line in lines)
        return Table(name, ("text",), [(f"{name}:{number}", {"text": text}) for number, text in texts if text])
    if kind == "json":
        return _read_json([line for _, line in lines], name, task)
    if kind == "jsonl":
        return table_of(name, _objects(lines, name))
    cells = _split(lines, delimiter or "\t") if kind == "tsv" else _unquote(lines, name, delimiter or ",")
    return _under_header(cells, name, "" if kind == "csv" else " In a .tsv file nothing is quoted.")


def _format(path: Path) -> str:
    return ENDINGS.get(Path(path.name.lower().removesuffix(".gz")).suffix, "")


# Tables with a header.


def _split(lines: Iterable[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line, of which none is quoted; blank lines are passed over."""
    for number, line in lines:
        if content := line.rstrip("\r\n"):
            yield number, content.split(delimiter)


def _unquote(lines: Iterable[tuple[int, str]], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row, with the number of its first line; blank lines are passed over."""
    if len(delimiter) != 1:
        raise DataError(f"{name}: the delimiter of a .csv file is one character, got {delimiter!r}.")
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader((line for _, line in lines), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{name}:{number}: this row is broken as CSV: {error}.") from None
        if cells:
            yield number, cells


def _under_header(records: Iterator[tuple[int, list[str]]], name: str, advice: str) -> Table:
    number, header = next(records, (1, []))
    if not header:
        raise DataError(f"{name} is empty: a header with the names of the columns and rows below it are expected.")
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise DataError(f"{name}:{number}: the header has {listed(twice)} more than once.")
    width = len(header)
    rows: list[Row] = []
    for number, cells in records:
        if len(cells) != width:
            raise DataError(
                f"{name}:{number}: this row has {len(cells)} fields, but the header names {width}: {listed(header)}."
                f"{advice}"
            )
        rows.append((f"{name}:{number}", dict(zip(header, cells, strict=True))))
    return Table(name, tuple(header), rows)


# JSON.


def _objects(lines: Iterable[tuple[int, str]], name: str) -> Iterator[Row]:
    for number, line in lines:
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is not JSON: {error}. One object a line is expected.") from None
        yield place, _object(value, place)


def _read_json(lines: list[str], name: str, task: str) -> Table:
    """Read SQuAD's form, an array of objects, or objects on lines."""
    try:
        content = json.loads("".join(lines))
    except (ValueError, RecursionError) as error:
        if not "".join(lines).strip():
            raise DataError(f"{name} is empty.") from None
        if "Extra data" in str(error):
            return table_of(name, _objects(enumerate(lines, 1), name))
        raise DataError(f"{name}:{getattr(error, 'lineno', 1)} is not JSON: {error}.") from None
    if isinstance(content, list):
        places = [f"{name}, item {number}" for number in range(1, len(content) + 1)]
        return table_of(name, [(place, _object(item, place)) for place, item in zip(places, content, strict=True)])
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        if task != "question-answering":
            raise DataError(f"{name} has the form of SQuAD, which is for question-answering, not for {task}.")
        return table_of(name, read_questions(content["data"], name))
    return table_of(name, [(f"{name}:1", _object(content, name))])


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place} must hold a JSON object, got {value!r:.40} of type {kind_of(value)}.")
    return value


def _neighbours(path: Path) -> str:
    """Say what there is in the place of a missing file."""
    if not path.parent.is_dir():
        return f" There is no folder {str(path.parent)!r} either."
    names = sorted(other.name for other in path.parent.iterdir() if _format(other))
    return f" That folder has {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}." if names else ""
