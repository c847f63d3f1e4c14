"""The rows that ``distilbert run`` reads: of a file or of standard input, in the format that its name or an option
tells."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import UsageError
from ...data.file_formats import COMPRESSED_PARQUET, endings_of, format_of
from ...data.row_stream import ReadingRules, RowStream, open_rows, read_lines
from ...data.text_lines import PipeLines

FORMATS = ("json", "jsonl", "csv", "tsv", "txt", "parquet")


@contextmanager
def open_input(path: str | None, stated: str, delimiter: str = "", encoding: str = "") -> Iterator[RowStream]:
    """Open a file, or standard input where ``path`` is None, and close it at the end.

    Args:
        path: the value of ``--input``.
        stated: the value of ``--format``.
        delimiter: the value of ``--delimiter``.
        encoding: of the text; empty for UTF-8.

    Raises:
        UsageError: neither the name nor ``--format`` tells the format, or there is no such file.
        DataError: the header cannot be used.
    """
    format = input_format(path, stated)
    rules = ReadingRules(
        delimiter=delimiter,
        encoding=encoding,
        named_columns=False,
        json_array=True,
        class_names=False,
        keep_invalid=True,
        may_be_empty=True,
    )
    if path is None:
        if format == "parquet":
            raise UsageError("A parquet file cannot be read from a pipe; name it with --input.")
        if sys.stdin is None:
            raise UsageError("Standard input is closed; name a file with --input.")
        lines = PipeLines(sys.stdin.fileno(), encoding)
        stream = RowStream("standard input", format, ready=lines.ready)
        read_lines(stream, lines, rules)
        yield stream
        return
    file = Path(path)
    if file.exists() and not file.is_file() and not file.is_dir():
        raise UsageError(f"{path} is a pipe or a device, not a file. Send it to standard input: ... | distilbert run")
    if not file.is_file():
        raise UsageError(f"There is no file {path!r} to read." + (" It is a folder." if file.is_dir() else ""))
    with open_rows(file, format, format_of(file).compressed, rules, path) as stream:
        yield stream


def input_format(path: str | None, stated: str) -> str:
    """Return the format to read ``path`` (None: standard input) in.

    ``--format json`` and ``pipe`` also say what is printed. So a name that tells another format wins over ``json``.
    """
    if path is None:
        return "txt" if stated in ("infer", "json", "pipe") else stated
    if stated == "pipe":
        raise UsageError("--format pipe reads standard input; leave --input out, or leave --format out.")
    told, compressed = format_of(path, FORMATS)
    format = stated if stated not in ("infer", "json") else told or stated.replace("infer", "")
    if not format:
        raise UsageError(
            f"The name {path!r} does not tell its format: end it in {endings_of(FORMATS)} (text ones also .gz), "
            f"or state --format {'|'.join(FORMATS)}."
        )
    if format == "parquet" and compressed:
        raise UsageError(f"{path}: {COMPRESSED_PARQUET}")
    return format
