"""Where results go: into a file that appears when it is complete, to a pipe as lines or a table, to a terminal."""

from __future__ import annotations

import sys
from typing import IO, Any, Protocol

from ...data.json_lines import encode_lines
from ...data.output_files import TableFile
from ...data.result_rows import table_rows
from ...data.row_answers import AnsweredRow
from .partial_output import PartialOutput


class ResultWriter(Protocol):
    """Takes the answers of one window after the other."""

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Take the answers of a window, and the places within it of the rows that got none."""


class PartialOutputWriter:
    """Writes into a :class:`PartialOutput`."""

    def __init__(self, output: PartialOutput, keep_input: bool) -> None:
        self._output, self._keep_input = output, keep_input

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Append a window."""
        self._output.write([row.result(self._keep_input) for row in answered], refused)


class LinesWriter:
    """Prints JSON, a value a line; flushed after each window."""

    def __init__(self, keep_input: bool) -> None:
        self._keep_input = keep_input

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Print a window."""
        sys.stdout.buffer.write(encode_lines([row.result(self._keep_input) for row in answered]))
        sys.stdout.buffer.flush()


class TableWriter:
    """Prints CSV or TSV; its header is made from the first window."""

    def __init__(self, format: str, keep_input: bool) -> None:
        self._format, self._keep_input = format, keep_input
        self._table: TableFile | None = None
        self._count = 0
        self._waiting: list[dict[str, Any]] = []  # rows without an answer, above the first that tells the columns

    def write(self, answered: list[AnsweredRow], refused: list[int]) -> None:
        """Print a window."""
        rows, self._waiting = self._waiting, []
        for answered_row in answered:
            self._count += 1
            rows += table_rows(answered_row.result(self._keep_input), self._count)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if self._table is None and not columns:
            self._waiting = rows
        elif self._table is None:
            self._table = TableFile(_utf8_stdout(), self._format, columns)
        if self._table is not None:
            for row in rows:
                self._table.write(row)
        sys.stdout.flush()


def _utf8_stdout() -> IO[str]:
    """Return standard output, in UTF-8 and without translation of line ends."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    return sys.stdout
