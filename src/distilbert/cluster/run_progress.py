"""How far a sharded run is: a view of all workers on a terminal, or JSON lines for a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from .shard_outputs import ShardRecord

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

REFRESHES = 4  # of the view, a second
LOG_SECONDS = 10.0  # between the lines of a log


@dataclass
class WorkerProgress:
    """What a worker has done.

    Attributes:
        rows: of the shards that it has done.
        tokens: of these.
        shard_rows: of the shard that it is at.
        shard_tokens: of that shard.
        seconds: that it took for the shards that it has done.
        shards: that it has done.
        restarts: of its process.
        began: when its shard began, by the monotonic clock.
    """

    rows: int = 0
    tokens: int = 0
    shard_rows: int = 0
    shard_tokens: int = 0
    seconds: float = 0.0
    shards: int = 0
    restarts: int = 0
    began: float = 0.0


class RunProgress:
    """Collects what workers report, and shows it.

    Args:
        total: rows of the whole run.
        shards: of the whole run.
        shown: ``"live"``: draw a view on standard error; ``"log"``: write JSON lines there; ``""``: nothing.
        file: in place of standard error.
        clock: gives seconds.
    """

    def __init__(
        self,
        total: int,
        shards: int,
        shown: str = "",
        file: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.shards, self._shown, self._clock = total, shards, shown, clock
        self._file = file or sys.stderr
        self.workers: dict[str, WorkerProgress] = {}
        self.rows_before = self.shards_before = 0
        self._began = clock()
        self._last_log = -LOG_SECONDS
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._began = self._clock()
        if self._shown == "live":
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._file, markup=False, emoji=False, highlight=False)
            self._live = Live(console=console, get_renderable=self.table, refresh_per_second=REFRESHES, transient=True)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
        elif self._shown == "log" and kind is None:
            self._log()

    def skip(self, rows: int, shards: int) -> None:
        """Count what an earlier run has done; it says nothing about the speed of this one."""
        self.rows_before, self.shards_before = rows, shards

    def take(self, name: str, event: Mapping[str, Any]) -> None:
        """Take what a worker reports."""
        worker = self.workers.setdefault(name, WorkerProgress())
        if "done" in event:
            worker.shard_rows, worker.shard_tokens = event["done"], event["tokens"]
        elif "window" in event and event["window"] == 0:
            worker.began, worker.shard_rows, worker.shard_tokens = self._clock(), 0, 0
        elif "restarts" in event:
            worker.restarts += event["restarts"]
            worker.shard_rows = worker.shard_tokens = 0
        self._tick()

    def finish_shard(self, record: ShardRecord) -> None:
        """Take the record of a shard that is done."""
        worker = self.workers.setdefault(record.worker, WorkerProgress())
        worker.rows += record.rows
        worker.tokens += record.tokens
        worker.seconds += record.seconds
        worker.shards += 1
        worker.shard_rows = worker.shard_tokens = 0
        self._tick()

    def _tick(self) -> None:
        if self._shown == "log" and self._clock() - self._last_log >= LOG_SECONDS:
            self._last_log = self._clock()
            self._log()

    def _log(self) -> None:
        self._file.write(json.dumps(self.state()) + "\n")
        self._file.flush()

    def state(self) -> dict[str, Any]:
        """Return how far the run is, as JSON has it."""
        now = self._clock()
        elapsed = max(now - self._began, 1e-9)
        rows = sum(worker.rows + worker.shard_rows for worker in self.workers.values())
        left = max(0, self.total - self.rows_before - rows)
        return {
            "rows": self.rows_before + rows,
            "of": self.total,
            "shards": self.shards_before + sum(worker.shards for worker in self.workers.values()),
            "of_shards": self.shards,
            "seconds": round(elapsed, 1),
            "rows_per_second": round(rows / elapsed, 1),
            "seconds_left": round(left * elapsed / rows, 1) if rows else None,
            "workers": {
                name: {
                    "rows": worker.rows + worker.shard_rows,
                    "tokens_per_second": round(self._rate(worker, now), 1),
                    "shards": worker.shards,
                    "restarts": worker.restarts,
                }
                for name, worker in sorted(self.workers.items())
            },
        }

    def _rate(self, worker: WorkerProgress, now: float) -> float:
        seconds = worker.seconds + (now - worker.began if worker.shard_tokens else 0.0)
        return (worker.tokens + worker.shard_tokens) / seconds if seconds > 0 else 0.0

    def table(self) -> Table:
        """Return the view."""
        from rich.table import Table

        state = self.state()
        share = state["rows"] / self.total if self.total else 1.0
        left = state["seconds_left"]
        table = Table(
            box=None,
            pad_edge=False,
            header_style="bold",
            title_justify="left",
            title=f"{state['rows']:,} of {self.total:,} rows ({share:.0%}), {state['rows_per_second']:,.0f} rows/s, "
            + (f"{duration(left)} left" if left is not None else "loading the model"),
        )
        for column in ("worker", "shards", "rows", "tokens/s", "restarts"):
            table.add_column(column, justify="left" if column == "worker" else "right", no_wrap=True)
        for name, worker in state["workers"].items():
            table.add_row(
                name,
                f"{worker['shards']:,}",
                f"{worker['rows']:,}",
                f"{worker['tokens_per_second']:,.0f}",
                str(worker["restarts"]),
            )
        return table


def duration(seconds: float) -> str:
    """Return seconds as people read them: ``"2 h 05 min"``, ``"3 min 20 s"``, ``"12 s"``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
