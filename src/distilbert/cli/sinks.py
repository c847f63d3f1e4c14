"""Where results go: a file that appears when complete, lines or a table on a pipe, a view on a terminal."""

from __future__ import annotations

import sys
from typing import IO, Any, NamedTuple, Protocol

from .part import Part
from .records import encode_lines, flattened, joined
from .writing import TableWriter


class Answered(NamedTuple):
    """One row with its answer.

    Attributes:
        columns: the row as named columns.
        item: the task's input made from it.
        answer: what the task said.
    """

    columns: dict[str, Any]
    item: Any
    answer: Any

    def record(self, keep_input: bool) -> Any:
        """Return what is written: the answer, or the row joined with it."""
        return joined(self.columns, self.answer) if keep_input else self.answer


class Sink(Protocol):
    """Takes the answers of one window after the other."""

    def write(self, answered: list[Answered], refused: list[int]) -> None:
        """Take a window's answers, and the places of the rows that got none."""


class FileSink:
    """Into a :class:`Part`."""

    def __init__(self, part: Part, keep_input: bool) -> None:
        self._part, self._keep_input = part, keep_input

    def write(self, answered: list[Answered], refused: list[int]) -> None:
        """Append a window."""
        self._part.write([one.record(self._keep_input) for one in answered], refused)


class LinesSink:
    """JSON, an object a line, on standard output; flushed after each window."""

    def __init__(self, keep_input: bool) -> None:
        self._keep_input = keep_input

    def write(self, answered: list[Answered], refused: list[int]) -> None:
        """Print a window."""
        sys.stdout.buffer.write(encode_lines([one.record(self._keep_input) for one in answered]))
        sys.stdout.buffer.flush()


class TableSink:
    """CSV or TSV on standard output; its header is made from the first window."""

    def __init__(self, kind: str, keep_input: bool) -> None:
        self._kind, self._keep_input = kind, keep_input
        self._table: TableWriter | None = None
        self._count = 0

    def write(self, answered: list[Answered], refused: list[int]) -> None:
        """Print a window."""
        rows: list[dict[str, Any]] = []
        for one in answered:
            self._count += 1
            rows += flattened(one.record(self._keep_input), self._count)
        if rows and self._table is None:
            self._table = TableWriter(
                utf8_stdout(), self._kind, list(dict.fromkeys(name for row in rows for name in row))
            )
        if self._table is not None:
            for row in rows:
                self._table.write(row)
        sys.stdout.flush()


def utf8_stdout() -> IO[str]:
    """Return standard output, in UTF-8 and without translation of line ends."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
    return sys.stdout
