"""Rows gathered into windows: large ones for speed, small ones where somebody waits for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..core.errors import DataError
from ..data.row_formats import BLANK, Row
from ..data.row_streams import Source
from .columns import Columns

FIRST, LARGEST = 16, 1024


class Entry(NamedTuple):
    """A row and the task's input made from it."""

    row: Row
    item: Any


def window_size(index: int, largest: int = LARGEST) -> int:
    """Return the size of window ``index`` of a file: 16, 32, 64, ... ``largest``."""
    return min(FIRST << min(index, 20), largest)


def boundary(rows: int, largest: int = LARGEST) -> int:
    """Return the last end of a window of a file at or before ``rows``."""
    end = index = 0
    while end + window_size(index, largest) <= rows:
        end += window_size(index, largest)
        index += 1
    return end


class Skipped:
    """Rows that cannot be used: the first one ends the work, or each is reported and left out.

    Args:
        source: where they come from.
        stop: end the work.
        report: takes the message of each row that is left out.
    """

    def __init__(self, source: Source, stop: bool, report: Callable[[str], None]) -> None:
        self.count = 0
        self._source, self._stop, self._report = source, stop, report

    def add(self, row: Row, reason: str) -> None:
        """Take a row.

        Raises:
            DataError: the work ends here; the message says where, why, and how to leave such rows out.
        """
        message = f"{self._source.place(row)}: {reason}"
        if self._stop:
            raise DataError(message.rstrip(".") + ". (--on-error skip leaves such rows out.)")
        self.count += 1
        self._report(f"skipped {message}")

    def summarize(self) -> None:
        """Report how many rows were left out, if any were."""
        if self.count:
            self._report(f"{self.count:,} {'row was' if self.count == 1 else 'rows were'} skipped.")


def entries(source: Source, columns: Columns, skipped: Skipped) -> Iterator[Entry | DataError | None]:
    """Yield the usable rows, None for a row that is left out, and last the error that ends the work, if one does.

    The error is yielded rather than raised so that the rows before it are answered first.
    """
    try:
        for row in source.rows:
            reason = row.problem
            item = None
            if not reason:
                try:
                    item = columns.input(row.value)
                except DataError as error:
                    reason = str(error)
            if not reason:
                yield Entry(row, item)
                continue
            if reason != BLANK:
                skipped.add(row, reason)
            yield None
    except DataError as error:
        yield error


def windows(
    source: Source, columns: Columns, skipped: Skipped, *, done: int = 0, largest: int = LARGEST
) -> Iterator[list[Entry]]:
    """Yield windows of usable rows.

    Args:
        source: the rows. Those of a file come in windows of fixed sizes (:func:`window_size`); of a pipe or terminal,
            a window holds what is there already, so that nobody waits for an answer until more input comes.
        columns: makes inputs of them.
        skipped: takes those that cannot be used.
        done: usable rows to pass over; a :func:`boundary`.
        largest: upper limit of a window.

    Raises:
        DataError: a row cannot be used and ``skipped`` does not leave it out.
    """
    index = seen = 0
    while seen < done:
        seen += window_size(index, largest)
        index += 1
    window: list[Entry] = []
    passed = 0
    for entry in entries(source, columns, skipped):
        if isinstance(entry, DataError):
            if window:
                yield window
            raise entry
        if entry is not None:
            passed += 1
            if passed > done:
                window.append(entry)
        if window and (len(window) >= window_size(index, largest) or not source.ready()):
            yield window
            window, index = [], index + 1
    if window:
        yield window
