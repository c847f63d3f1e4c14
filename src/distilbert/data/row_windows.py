"""Rows gathered into windows that are answered together: large ones for speed, small ones where somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..core.counted import counted
from ..core.errors import DataError, UsageError
from .row_stream import BLANK, Row, RowStream
from .task_inputs import TaskInputs

FIRST_WINDOW, LARGEST_WINDOW = 16, 1024
NAMED_ROWS = 5  # rows without an answer that are named one by one


class InputRow(NamedTuple):
    """A row, and the task's input made from it.

    Attributes:
        row: the row.
        item: the input; None where there is none.
        problem: why there is no input; empty where there is one.
    """

    row: Row
    item: Any
    problem: str = ""


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


class UnusableRows:
    """Rows that cannot be used: the first one stops the work, or they are reported, left out or given null.

    Args:
        on_error: ``"stop"``, ``"skip"`` or ``"null"``, as ``RunPlan.on_error``.
        report: takes messages.
        can_be_null: whether ``"null"`` is among the choices, for the advice.

    Attributes:
        count: how many there are.
        answered: how many other rows got an answer.
        get_null: whether they get null.
        stops: whether the first one stops the work.
    """

    def __init__(self, on_error: str, report: Callable[[str], None], can_be_null: bool = True) -> None:
        self.count = self.answered = 0
        self.get_null = on_error == "null"
        self.stops, self._report, self._can_be_null = on_error == "stop", report, can_be_null

    def add(self, row: Row, reason: str) -> None:
        """Take a row.

        Raises:
            DataError: the work stops here; the message says where, why, and how to go on without such rows.
        """
        message = f"{row.place}: {reason}"
        if self.stops:
            null = ", --on-error null gives them the answer null" if self._can_be_null else ""
            raise DataError(f"{message.rstrip('.')}. (--on-error skip leaves such rows out{null}.)")
        self.count += 1
        if not self.get_null:
            self._report(f"skipped {message}")
        elif self.count <= NAMED_ROWS:
            self._report(f"no answer for {message}")

    def summarize(self, rows: int) -> bool:
        """Report how many rows were left out or got null, if any did.

        Args:
            rows: how many rows there are in all.

        Returns:
            Whether the work was of use: False if there were rows and none could be answered.
        """
        if not self.count:
            return True
        if self.get_null:
            self._report(f"{counted(self.count, 'row has', 'rows have')} no answer (null) out of {rows:,}.")
        else:
            self._report(f"{counted(self.count, 'row was', 'rows were')} skipped.")
        if not self.answered:
            self._report("no row could be answered.")
        return self.answered > 0


def gather_windows(
    stream: RowStream,
    inputs: TaskInputs,
    unusable: UnusableRows,
    *,
    done: int = 0,
    above: int = 0,
    largest: int = LARGEST_WINDOW,
) -> Iterator[list[InputRow]]:
    """Yield windows of rows: the usable ones, or all of them where those that are not get null.

    Args:
        stream: the rows. Those of a file come in windows of fixed sizes (:func:`window_size`). A window of a pipe or
            a terminal ends where the next row is not there yet, so that nobody waits for an answer until more input
            comes.
        inputs: makes inputs of the rows.
        unusable: takes those that cannot be used, unless they get null: then they are in the window.
        done: how many rows to pass over; a :func:`last_window_end`.
        above: how many rows of windows the file has above those of the stream; a :func:`last_window_end`.
        largest: upper limit of a window.

    Raises:
        DataError: a row cannot be used and the work stops there; the rows before it are yielded first.
    """
    index = rows_before = 0
    while rows_before < done + above:
        rows_before += window_size(index, largest)
        index += 1
    window: list[InputRow] = []
    rows = 0
    for input_row in usable_rows(stream, inputs, unusable):
        if isinstance(input_row, DataError):
            if window:
                yield window
            raise input_row
        if input_row is not None:
            rows += 1
            if rows > done:
                window.append(input_row)
        if window and (len(window) >= window_size(index, largest) or not stream.ready()):
            yield window
            window, index = [], index + 1
    if window:
        yield window


def usable_rows(stream: RowStream, inputs: TaskInputs, unusable: UnusableRows) -> Iterator[InputRow | DataError | None]:
    """Yield the rows of windows, None for each row that is left out, and last the error that stops the work, if any.

    The error is yielded and not raised, so that the rows before it are answered first.

    Raises:
        UsageError: the columns of the first row do not fit the task.
    """
    try:
        for row in stream.rows:
            reason = row.problem
            if reason == BLANK and unusable.get_null and stream.format == "txt":
                reason = "an empty line"
            item = None
            if not reason:
                try:
                    item = inputs.input_of(row.value)
                except DataError as error:
                    reason = str(error)
                except UsageError as error:
                    raise UsageError(f"{row.place}: {error}") from None
            if not reason:
                yield InputRow(row, item)
                continue
            if reason != BLANK and unusable.get_null:
                yield InputRow(row, None, reason)
                continue
            if reason != BLANK:
                unusable.add(row, reason)
            yield None
    except DataError as error:
        yield error
