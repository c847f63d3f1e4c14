"""Rows gathered into windows that are answered together: large ones for speed, small ones where somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...core.errors import DataError
from ...data.row_stream import BLANK, Row, RowStream
from .task_inputs import TaskInputs

FIRST_WINDOW, LARGEST_WINDOW = 16, 1024


class InputRow(NamedTuple):
    """A row, and the task's input made from it."""

    row: Row
    item: Any


def window_size(index: int, largest: int = LARGEST_WINDOW) -> int:
    """Return the size of window ``index`` of a file: 16, 32, 64, ... ``largest``."""
    return min(FIRST_WINDOW << min(index, 20), largest)


def last_window_end(rows: int, largest: int = LARGEST_WINDOW) -> int:
    """Return the last end of a window of a file at or before ``rows``."""
    end = index = 0
    while end + window_size(index, largest) <= rows:
        end += window_size(index, largest)
        index += 1
    return end


class SkippedRows:
    """Rows that cannot be used: the first one stops the work, or each is reported and left out.

    Args:
        stop: stop the work at the first one.
        report: takes the message about each row that is left out.
    """

    def __init__(self, stop: bool, report: Callable[[str], None]) -> None:
        self.count = 0
        self._stop, self._report = stop, report

    def add(self, row: Row, reason: str) -> None:
        """Take a row.

        Raises:
            DataError: the work stops here; the message says where, why, and how to leave such rows out.
        """
        message = f"{row.place}: {reason}"
        if self._stop:
            raise DataError(message.rstrip(".") + ". (--on-error skip leaves such rows out.)")
        self.count += 1
        self._report(f"skipped {message}")

    def summarize(self) -> None:
        """Report how many rows were left out, if any were."""
        if self.count:
            self._report(f"{self.count:,} {'row was' if self.count == 1 else 'rows were'} skipped.")


def gather_windows(
    stream: RowStream, inputs: TaskInputs, skipped: SkippedRows, *, done: int = 0, largest: int = LARGEST_WINDOW
) -> Iterator[list[InputRow]]:
    """Yield windows of usable rows.

    Args:
        stream: the rows. Those of a file come in windows of fixed sizes (:func:`window_size`). A window of a pipe or
            a terminal ends where the next row is not there yet, so that nobody waits for an answer until more input
            comes.
        inputs: makes inputs of the rows.
        skipped: takes those that cannot be used.
        done: how many usable rows to pass over; a :func:`last_window_end`.
        largest: upper limit of a window.

    Raises:
        DataError: a row cannot be used and ``skipped`` does not leave it out; the rows before it are yielded first.
    """
    index = rows_before = 0
    while rows_before < done:
        rows_before += window_size(index, largest)
        index += 1
    window: list[InputRow] = []
    usable = 0
    for input_row in _input_rows(stream, inputs, skipped):
        if isinstance(input_row, DataError):
            if window:
                yield window
            raise input_row
        if input_row is not None:
            usable += 1
            if usable > done:
                window.append(input_row)
        if window and (len(window) >= window_size(index, largest) or not stream.ready()):
            yield window
            window, index = [], index + 1
    if window:
        yield window


def _input_rows(stream: RowStream, inputs: TaskInputs, skipped: SkippedRows) -> Iterator[InputRow | DataError | None]:
    """Yield the usable rows, None for each row that is left out, and last the error that stops the work, if any.

    The error is yielded and not raised, so that the rows before it are answered first.
    """
    try:
        for row in stream.rows:
            reason = row.problem
            item = None
            if not reason:
                try:
                    item = inputs.input_of(row.value)
                except DataError as error:
                    reason = str(error)
            if not reason:
                yield InputRow(row, item)
                continue
            if reason != BLANK:
                skipped.add(row, reason)
            yield None
    except DataError as error:
        yield error
