"""A progress bar on standard error, or below the cell of a notebook, for everything that takes a while."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

WIDTH = 20  # of the bar, in characters
PERCENTAGE, TIME_LEFT, SPINNER = len("100% "), len("0:00:00 "), 2  # characters


def can_be_shown() -> bool:
    """Say whether standard error is a terminal, or this is a notebook, so that a line can move there."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Say whether the code runs in a notebook: Jupyter, or a service that is built on it."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # Jupyter; Colab


class ProgressBar:
    """One line of standard error that moves: a bar, a percentage and a text.

    Where a terminal is too narrow for all of it, the bar gives way first and the text is cut; the percentage and the
    time that is left stay whole. Use it as a context.

    Args:
        text: what stands beside the bar at the beginning.
        shown: draw it; by default on a terminal and in a notebook only. A bar that is not shown does nothing.
        total: the amount of work, where it is known at the beginning.
        countable: the amount of work is known, or will be; otherwise a spinner takes the place of the bar.
        with_time_left: estimate the time that is left.
        stays: leave the last state on the terminal.
    """

    def __init__(
        self,
        text: str,
        *,
        shown: bool | None = None,
        total: float | None = None,
        countable: bool = True,
        with_time_left: bool = False,
        stays: bool = False,
    ) -> None:
        self.shown = can_be_shown() if shown is None else shown
        self._text, self._total = text, total
        self._countable, self._with_time_left, self._stays = countable, with_time_left, stays
        self._progress: Any = None
        self._text_column: Any = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                ProgressColumn,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.table import Column

            columns: list[ProgressColumn] = [SpinnerColumn()]
            if self._countable:
                columns = [BarColumn(WIDTH), TaskProgressColumn()]
                columns += [TimeRemainingColumn(table_column=Column(no_wrap=True))] if self._with_time_left else []
            self._text_column = Column(no_wrap=True)
            columns.append(TextColumn("{task.description}", markup=False, table_column=self._text_column))
            console = Console(stderr=True)  # one that is not a terminal gets the last state only
            transient = (console.is_terminal or console.is_jupyter) and not self._stays
            self._progress = Progress(*columns, console=console, transient=transient, redirect_stdout=False)
            self._fit_text()
            self._progress.start()
            self._progress.add_task(self._text, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show what is being done, how much of it is done, and of how much; None leaves a number as it was."""
        if self._progress is not None:
            self._fit_text()
            self._progress.update(self._progress.task_ids[0], description=text, completed=done, total=total)

    def print_above(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)

    def _fit_text(self) -> None:
        """Leave the text what the others do not need; rich would take what is missing from all of them alike."""
        needed = PERCENTAGE + (TIME_LEFT if self._with_time_left else 0) if self._countable else SPINNER
        self._text_column.max_width = max(self._progress.console.width - needed, 1)
