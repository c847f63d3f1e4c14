"""Final files: JSON lines, once they are complete, become the format that the output's name tells."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ..core.errors import DataError, UsageError
from ..core.extras import require
from ..core.files import replacing
from ..data.row_streams import format_of
from .records import flattened, named

OUTPUTS = ("json", "jsonl", "csv", "tsv", "parquet")
CHUNK = 1024


def output_format(path: str, stated: str) -> str:
    """Return the format to write ``path`` in, given ``--format``.

    Raises:
        UsageError: neither the name nor ``--format`` tells one that can be written.
    """
    told, packed = format_of(path)
    kind = told or stated
    if kind not in OUTPUTS:
        raise UsageError(
            f"The name {path!r} does not tell a format that can be written: end it in .json, .jsonl, .csv, .tsv "
            f"(all also .gz) or .parquet."
        )
    if kind == "parquet" and packed:
        raise UsageError(f"{path}: parquet is compressed inside already; leave .gz out.")
    return kind


def publish(part: Path, output: Path, kind: str) -> None:
    """Make the final file from complete JSON lines; it appears under its name all at once.

    Args:
        part: the JSON lines, one record each.
        output: the final name; ``.gz`` at its end compresses.
        kind: one of ``OUTPUTS``.

    Raises:
        DataError: the records do not fit into the columns of a parquet file.
    """
    packed = format_of(output)[1]
    if kind == "jsonl" and not packed:
        part.replace(output)
        return
    with replacing(output) as temporary:
        if kind == "parquet":
            _write_parquet(part, temporary)
        else:
            with _text(temporary, packed) as file:
                if kind == "json":
                    _write_array(part, file)
                elif kind == "jsonl":
                    file.writelines(_lines(part))
                else:
                    _write_table(part, file, kind)


@contextmanager
def _text(path: Path, packed: bool) -> Iterator[IO[str]]:
    with path.open("wb") as raw:
        if not packed:
            with io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
                yield file
            return
        # No name and no time inside, so that equal results are equal files.
        binary = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
        with binary, io.TextIOWrapper(binary, encoding="utf-8", newline="") as file:
            yield file


def _lines(part: Path) -> Iterator[str]:
    with part.open(encoding="utf-8", newline="\n") as file:
        yield from file


def _write_array(part: Path, file: IO[str]) -> None:
    between = "[\n"
    for line in _lines(part):
        file.write(between + line.rstrip("\n"))
        between = ",\n"
    file.write("[]\n" if between == "[\n" else "\n]\n")


def _table_rows(part: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_lines(part), 1):
        yield from flattened(json.loads(line), number)


def _write_table(part: Path, file: IO[str], kind: str) -> None:
    columns: dict[str, None] = {}
    for row in _table_rows(part):
        columns |= dict.fromkeys(row)
    table = TableWriter(file, kind, list(columns))
    for row in _table_rows(part):
        table.write(row)


class TableWriter:
    """CSV or TSV with a header.

    A TSV has no quoting: a tab or line break within a cell becomes a space.

    Args:
        file: where to write.
        kind: ``"csv"`` or ``"tsv"``.
        columns: names of the columns; a row may lack some.
    """

    def __init__(self, file: IO[str], kind: str, columns: list[str]) -> None:
        self.columns = columns
        self._file, self._plain = file, kind == "tsv"
        self._csv = csv.writer(file, lineterminator="\n")
        if columns:
            self._put(columns)

    def write(self, row: dict[str, Any]) -> None:
        """Write one row.

        Raises:
            DataError: it has a column that the header does not name.
        """
        if new := [name for name in row if name not in self.columns]:
            raise DataError(
                f"A result has the column {new[0]!r}, which the first ones did not have. "
                "Write to a file (--output), whose header is made at the end, or print JSON (--format json)."
            )
        self._put([row.get(name) for name in self.columns])

    def _put(self, cells: Iterable[Any]) -> None:
        if self._plain:
            texts = ["" if cell is None else str(cell) for cell in cells]
            self._file.write("\t".join(text.translate(BREAKS) for text in texts) + "\n")
        else:
            self._csv.writerow(cells)


BREAKS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def _write_parquet(part: Path, path: Path) -> None:
    """Write in two passes: the first finds the columns and their types, the second writes."""
    arrow = require("pyarrow", "parquet")
    parquet = require("pyarrow.parquet", "parquet")
    try:
        schemas = [_arrow_table(arrow, records).schema for records in _record_chunks(part)]
        schema = arrow.unify_schemas(_unlike(schemas), promote_options="permissive") if schemas else arrow.schema([])
        with parquet.ParquetWriter(path, schema) as writer:
            for records in _record_chunks(part):
                writer.write_table(_arrow_table(arrow, records, schema))
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError) as error:
        raise DataError(f"The results do not fit into the columns of a parquet file ({error}); write .jsonl.") from None


def _unlike(schemas: list[Any]) -> list[Any]:
    return [schema for index, schema in enumerate(schemas) if index == 0 or schema != schemas[index - 1]]


def _record_chunks(part: Path) -> Iterator[list[dict[str, Any]]]:
    records = (named(json.loads(line)) for line in _lines(part))
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _arrow_table(arrow: Any, records: list[dict[str, Any]], schema: Any = None) -> Any:
    if schema is None:
        names = dict.fromkeys(name for record in records for name in record)
        return arrow.table({name: arrow.array([record.get(name) for record in records]) for name in names})
    arrays = [arrow.array([record.get(f.name) for record in records], type=f.type) for f in schema]
    return arrow.Table.from_arrays(arrays, schema=schema)
