"""How far ``distilbert run`` is: rows, rows a second, and how much of the file is read."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from ...core.counted import counted
from ...core.progress_bar import ProgressBar
from ...data.row_stream import RowStream


class RowProgress:
    """Counts rows that are done, and shows them in a progress bar.

    Args:
        stream: what is read; it knows how much of it is.
        shown: draw the bar.
    """

    def __init__(self, stream: RowStream, shown: bool) -> None:
        self.rows = self._rows_before = 0
        self._stream = stream
        self._started = time.monotonic()
        total = stream.size or stream.total or None
        self._bar = ProgressBar("reading", shown=shown, total=total, countable=total is not None, with_time_left=True)

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def skip(self, rows: int) -> None:
        """Count rows that an earlier run has done; they say nothing about the speed of this one."""
        self.rows += rows
        self._rows_before = rows

    def add(self, rows: int) -> None:
        """Count rows that are done."""
        self.rows += rows
        self._bar.update(self.pace(), self._stream.position() if self._stream.size else self.rows)

    def pace(self) -> str:
        """Return, for example, ``"1,024 rows, 310 rows/s"``."""
        rate = (self.rows - self._rows_before) / max(time.monotonic() - self._started, 1e-9)
        return f"{counted(self.rows, 'row')}, {rate:,.{0 if rate >= 10 else 1}f} rows/s"
