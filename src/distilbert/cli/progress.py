"""A progress bar on standard error: rows, rows a second, and how much of the file is read."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from ..data.row_streams import Source


class Progress:
    """Counts rows, and shows them if ``shown``.

    Args:
        source: what is read; it knows how far.
        shown: draw the bar.
    """

    def __init__(self, source: Source, shown: bool) -> None:
        self.rows = self._before = 0
        self._source, self._shown = source, shown
        self._started = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            known = self._source.size or self._source.total
            columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn()) if known else (SpinnerColumn(),)
            text = TextColumn("{task.description}", markup=False)
            console = Console(stderr=True)  # where it is no terminal, only the last state is printed
            self._bar = Bar(*columns, text, console=console, transient=console.is_terminal, redirect_stdout=False)
            self._bar.start()
            self._bar.add_task("reading", total=known or None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def skip(self, rows: int) -> None:
        """Count rows that an earlier run has done; they say nothing about this one's speed."""
        self.rows += rows
        self._before = rows

    def add(self, rows: int) -> None:
        """Count rows that are done."""
        self.rows += rows
        if self._bar is not None:
            done = self._source.position() if self._source.size else self.rows
            self._bar.update(self._bar.task_ids[0], completed=done, description=self.pace())

    def pace(self) -> str:
        """Return, for example, ``"1,024 rows, 310 rows/s"``."""
        rate = (self.rows - self._before) / max(time.monotonic() - self._started, 1e-9)
        return f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}, {rate:,.{0 if rate >= 10 else 1}f} rows/s"
