"""A table of labelled data: all rows of one source, which must all be usable.

``column_roles.py`` decides what the columns mean. Here a value is whatever the format has: a text, a number, a list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import DataError
from ..tasks.registry import task_spec
from .arrow import classes_of_dataset, with_class_names
from .character_spans import from_label_studio
from .data_sources import check_hub_name, is_saved_dataset, load_from_hub, load_saved
from .file_formats import COMPRESSED_PARQUET, COMPRESSIONS, FORMATS, endings_of, format_of
from .memory_source import MemorySource, check_is_in_memory
from .row_stream import SQUAD, ReadingRules, Row, open_rows, without_problems
from .text_lines import check_regular_file


@dataclass(frozen=True)
class Table:
    """The rows of one source.

    Attributes:
        name: the source, as messages call it.
        columns: names of the columns; of JSON objects, those that any of them has.
        rows: in order; each value is a dict by column.
        unnamed: columns to which the header of the file gives no name.
        repeated: names that several columns have.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[Row]
    unnamed: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()


def read_table(
    source: str,
    task: str,
    *,
    delimiter: str = "",
    encoding: str = "",
    split: str = "train",
    word_column: int = 0,
    tag_column: int = 0,
) -> Table:
    """Read all rows of a source.

    Args:
        source: a file, whose ending tells the format; a folder that ``datasets.save_to_disk`` wrote; or the name of a
            data set on the hub, ``NAME`` or ``NAME:CONFIG``; or data in memory, wrapped as a :class:`.MemorySource`.
        task: what the rows are for. It decides what a ``.txt`` file is: lines for fill-mask, words and tags for
            token-classification.
        delimiter: between the columns of a ``.csv``, ``.tsv``, ``.conll`` or ``.txt`` file; empty for the usual one,
            and for the one that is detected in .csv and .tsv files.
        encoding: of files of text; empty for UTF-8.
        split: the split of a data set that has several.
        word_column: the column of the word in a ``.conll`` file, counted from 1; 0 for the one that the file shows.
        tag_column: the same for the tag.

    Raises:
        DataError: there is no such source, it cannot be read, or it has no rows.
        MissingExtraError: pyarrow or datasets is needed and not installed.
    """
    check_is_in_memory(source)
    path = Path(source)
    if isinstance(source, MemorySource):
        table = _table_in_memory(source)
    elif path.is_file():
        rules = ReadingRules(delimiter=delimiter, encoding=encoding, word_column=word_column, tag_column=tag_column)
        table = _read_file(path, source, task, rules)
    elif path.is_dir():
        if not is_saved_dataset(path):
            raise DataError(f"The folder {source!r} is not a data set that 'datasets' saved. Name the files in it.")
        table = _table_of_dataset(load_saved(path, split), source)
    else:
        check_regular_file(path)
        check_hub_name(source, FORMATS)
        table = _table_of_dataset(load_from_hub(source, split, streaming=False), source)
    if not table.rows:
        raise DataError(f"{source} has no rows.")
    return table


def _read_file(path: Path, name: str, task: str, rules: ReadingRules) -> Table:
    format, compressed = format_of(path)
    if not format:
        raise DataError(
            f"The name {name!r} does not tell its format: known are {endings_of(FORMATS)}, also with "
            f"{' or '.join(COMPRESSIONS)}."
        )
    roles = () if (data := task_spec(task).labelled) is None else data.roles
    if format == "parquet" and compressed:
        raise DataError(f"{name}: {COMPRESSED_PARQUET}")
    if format == "txt" and "words" in roles:
        format = "conll"
    if format == "txt" and roles != ("text",):
        raise DataError(f"{name}: {task} needs columns, which a .txt file does not have; use .tsv, .csv or .jsonl.")
    with open_rows(path, format, compressed, rules, name) as stream:
        if stream.format == SQUAD and "answers" not in roles:
            raise DataError(f"{name} has the form of SQuAD, which is for question-answering, not for {task}.")
        rows = without_problems(stream.rows)
        if "words" in roles and stream.format in ("json", "jsonl"):
            rows = map(from_label_studio, rows)
        table = _table_of(name, rows, stream.columns)
        return replace(table, unnamed=stream.unnamed, repeated=stream.repeated)


def _table_in_memory(source: MemorySource) -> Table:
    if hasattr(source.content, "features"):
        return _table_of_dataset(source.content, source)
    rows = (Row(f"{source}, row {number}", row) for number, row in enumerate(source.content, 1))
    return replace(_table_of(source, rows, None), repeated=source.repeated)


def _table_of_dataset(data: Any, name: str) -> Table:
    """Return the rows of a ``datasets.Dataset``."""
    data = data.with_format(None)  # a saved one may come back as tensors
    features = data.features or {}
    classes = classes_of_dataset(features)
    rows = (Row(f"{name}, row {number}", with_class_names(row, classes)) for number, row in enumerate(data, 1))
    return _table_of(name, rows, list(features) or None)


def _table_of(name: str, rows: Iterable[Row], columns: list[str] | None) -> Table:
    """Collect rows; where their columns are not known before, they are those that any row has."""
    collected = list(rows)
    if columns is None:
        names: dict[str, None] = {}
        for row in collected:
            if row.value.keys() != names.keys():
                names |= dict.fromkeys(row.value)
        columns = list(names)
    return Table(name, tuple(columns), collected)
