"""Output files: JSON lines, once they are complete, become the format that the name of the output tells."""

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

import numpy as np

from ..core.errors import DataError, UsageError
from ..core.extras import require
from ..core.files import replacing
from ..tasks.answer_columns import RESULT, named
from ..text.wordpiece import replace_surrogates
from .file_formats import COMPRESSED_PARQUET, ZSTANDARD, format_of
from .result_rows import table_rows

FORMATS = ("json", "jsonl", "csv", "tsv", "parquet")
NPY = "npy"  # of vectors alone
PARQUET_BATCH = 1024  # results that are in memory at once


def output_format(path: str, stated: str) -> str:
    """Return the format to write ``path`` in.

    Args:
        path: the value of ``--output``.
        stated: the value of ``--format``, which counts if the name tells nothing.

    Raises:
        UsageError: neither tells a format that can be written.
    """
    told, compressed = format_of(path)
    format = told or stated
    if format not in FORMATS:
        raise UsageError(
            f"The name {path!r} does not tell a format that can be written: end it in .json, .jsonl, .csv, .tsv "
            f"(all also .gz) or .parquet."
        )
    if path.lower().endswith(ZSTANDARD):
        raise UsageError(f"{path}: .zst files are read, and not written; end the name in .gz, or in neither.")
    if format == "parquet" and compressed:
        raise UsageError(f"{path}: {COMPRESSED_PARQUET}")
    return format


def publish(json_lines: Path, output: Path, format: str, first: int = 1, vectors: str = "") -> bool:
    """Make the output file from complete JSON lines; it appears under its name all at once.

    Args:
        json_lines: the results, one a line. The file is moved if the output has the same form.
        output: the final name; ``.gz`` at its end compresses.
        format: one of ``FORMATS``, or ``NPY``.
        first: number of the first result, for a table in which a result has several rows.
        vectors: the key of a result under which a vector stands, which becomes float32; empty: there is none.

    Returns:
        Whether the file was moved, so that ``json_lines`` is no more.

    Raises:
        DataError: the results do not fit into the columns of a parquet file.
    """
    compressed = format_of(output).compressed
    if format == "jsonl" and not compressed:
        json_lines.replace(output)
        return True
    with replacing(output) as temporary:
        if format == "parquet":
            _write_parquet(json_lines, temporary, vectors)
        elif format == NPY:
            _write_vectors(json_lines, temporary, vectors)
        else:
            with _open_text(temporary, compressed) as file:
                if format == "json":
                    _write_array(json_lines, file)
                elif format == "jsonl":
                    file.writelines(_lines(json_lines))
                else:
                    _write_table(json_lines, file, format, first)
    return False


@contextmanager
def _open_text(path: Path, compressed: bool) -> Iterator[IO[str]]:
    """Open a file; a lone surrogate, which UTF-8 cannot hold, becomes a JSON escape in it."""
    with path.open("wb") as raw:
        if not compressed:
            with io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", newline="") as file:
                yield file
            return
        # No name and no time are written into the file, so that equal results are equal files.
        binary = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0)
        with binary, io.TextIOWrapper(binary, encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file


def _lines(json_lines: Path) -> Iterator[str]:
    with json_lines.open(encoding="utf-8", newline="\n") as file:
        yield from file


def _write_array(json_lines: Path, file: IO[str]) -> None:
    before = "[\n"
    for line in _lines(json_lines):
        file.write(before + line.rstrip("\n"))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def _rows(json_lines: Path, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(json_lines), first):
        for row in table_rows(json.loads(line), number):
            yield number, row


def _write_table(json_lines: Path, file: IO[str], format: str, first: int) -> None:
    columns: dict[str, None] = {}
    for _, row in _rows(json_lines, first):
        columns |= dict.fromkeys(row)
    table = TableFile(file, format, list(columns))
    for number, row in _rows(json_lines, first):
        table.write({"row": number} | row if "row" in columns else row)


class TableFile:
    """Writes CSV or TSV with a header.

    A TSV file has no quoting: a tab or line break within a value becomes a space.

    Args:
        file: where to write.
        format: ``"csv"`` or ``"tsv"``.
        columns: names of the columns; a row may lack some.
    """

    def __init__(self, file: IO[str], format: str, columns: list[str]) -> None:
        self.columns = columns
        self._file, self._without_quotes = file, format == "tsv"
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

    def _put(self, fields: Iterable[Any]) -> None:
        if self._without_quotes:
            texts = ["" if field is None else str(field) for field in fields]
            self._file.write("\t".join(text.translate(_BREAKS_TO_SPACES) for text in texts) + "\n")
        else:
            self._csv.writerow(fields)


_BREAKS_TO_SPACES = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def _write_vectors(json_lines: Path, path: Path, key: str) -> None:
    """Write the vectors of all results as one array (n, D) float32."""
    count = dimension = 0
    for line in _lines(json_lines):
        dimension = dimension or len(json.loads(line)[key])
        count += 1
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
    with path.open("wb") as file:  # through a memory map, a full disk would end the process
        np.lib.format.write_array_header_1_0(file, header)
        for line in _lines(json_lines):
            file.write(np.asarray(json.loads(line)[key], "<f4").tobytes())


def _write_parquet(json_lines: Path, path: Path, vectors: str = "") -> None:
    """Write in two passes: the first collects the columns and their types, the second writes."""
    arrow = require("pyarrow", "parquet")
    parquet = require("pyarrow.parquet", "parquet")
    try:
        schemas = [_arrow_table(arrow, results).schema for results in _batches(json_lines)]
        schema = (
            arrow.unify_schemas(_without_repeats(schemas), promote_options="permissive")
            if schemas
            else arrow.schema([])
        )
        if vectors in schema.names:
            place = schema.get_field_index(vectors)
            schema = schema.set(place, arrow.field(vectors, arrow.list_(arrow.float32())))
        schema = schema if schema.names else arrow.schema([(RESULT, arrow.null())])  # where no row has an answer
        with parquet.ParquetWriter(path, schema) as writer:
            for results in _batches(json_lines):
                writer.write_table(_arrow_table(arrow, results, schema))
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError) as error:
        raise DataError(f"The results do not fit into the columns of a parquet file ({error}); write .jsonl.") from None


def _without_repeats(schemas: list[Any]) -> list[Any]:
    return [schema for index, schema in enumerate(schemas) if index == 0 or schema != schemas[index - 1]]


def _batches(json_lines: Path) -> Iterator[list[dict[str, Any]]]:
    results = (
        {name: value for name, value in named(_unicode_value(line)).items() if name != RESULT or value is not None}
        for line in _lines(json_lines)
    )
    while batch := list(islice(results, PARQUET_BATCH)):
        yield batch


def _unicode_value(line: str) -> Any:
    """Return the value of a line, with U+FFFD in place of a lone surrogate, which a line holds as an escape."""
    value = json.loads(line)
    return json.loads(replace_surrogates(json.dumps(value, ensure_ascii=False))) if "\\ud" in line else value


def _arrow_table(arrow: Any, results: list[dict[str, Any]], schema: Any = None) -> Any:
    if schema is None:
        names = dict.fromkeys(name for result in results for name in result)
        return arrow.table({name: arrow.array([result.get(name) for result in results]) for name in names})
    arrays = [arrow.array([result.get(field.name) for result in results], type=field.type) for field in schema]
    return arrow.Table.from_arrays(arrays, schema=schema)
