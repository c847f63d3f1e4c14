"""The answers to one shard, in the windows that a run over the whole file has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import DataError
from ..core.runner_protocol import AsynchronousRunner, Batch, Runner
from ..data.row_answers import answer_rows_of, answer_window
from ..data.row_stream import Row
from ..data.row_windows import InputRow, UnusableRows, gather_windows
from ..data.task_inputs import TaskInputs
from .answer_settings import AnswerSettings
from .manifest import InputFile, Shard, open_input
from .shard_outputs import OutputFolder, ShardRecord

TRIED_ALONE = 32  # most suspect rows that are tried one by one at once

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class SuspectRows:
    """Rows of a window in which one ends the process that answers it.

    Attributes:
        window: number of the window in its shard.
        first: place of the first of these rows in the window.
        count: how many they are.
    """

    window: int
    first: int
    count: int

    @property
    def piece(self) -> int:
        """How many of them to try at once: the square root, so that the second try is down to single rows."""
        return math.isqrt(self.count) if self.count > TRIED_ALONE else 1


@dataclass(frozen=True)
class ShardTry:
    """What a process is asked to do: to answer a shard, and to try suspect rows first.

    Attributes:
        shard: the shard.
        file: that it is of.
        rejected: why rows get no answer, by their place: those that ended a process.
        suspects: rows to try first, in pieces; None for none.
    """

    shard: Shard
    file: InputFile
    rejected: Mapping[str, str]
    suspects: SuspectRows | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return all attributes, as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ShardTry:
        """Read what :meth:`as_dict` returned."""
        shard, suspects = values["shard"], values["suspects"]
        return cls(
            Shard(**{**shard, "line": shard["line"] and tuple(shard["line"])}),
            InputFile(**values["file"]),
            values["rejected"],
            None if suspects is None else SuspectRows(**suspects),
        )


class TokenCounter:
    """A runner that counts the tokens that go through another one.

    Args:
        runner: computes the outputs.

    Attributes:
        tokens: so far.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner, self.tokens = runner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model on ``batch``."""
        self.tokens += len(batch.input_ids)
        return self._runner(batch)


def count_tokens(task: Any) -> Callable[[], int]:
    """Return what tells how many tokens a task has computed from now on; 0 on a device that computes meanwhile."""
    if isinstance(task.runner, AsynchronousRunner):
        return lambda: 0
    counter = TokenCounter(task.runner)
    task.runner = counter
    return lambda: counter.tokens


class ShardAnswerer:
    """Answers shards with one loaded model.

    Args:
        settings: how rows are read, answered and written.
        output: where the results go.
        task: the loaded model.
        worker: name of the worker, for the record.
        report: takes what is known while a shard is answered: ``window`` and ``rows`` before each window, ``done`` and
            ``tokens`` after it; ``piece``, ``rows`` and ``row`` before suspect rows are tried.
    """

    def __init__(self, settings: AnswerSettings, output: OutputFolder, task: Any, worker: str, report: Report) -> None:
        self._settings, self._output, self._task = settings, output, task
        self._worker, self._report = worker, report
        self._tokens = count_tokens(task)

    def answer(self, attempt: ShardTry) -> ShardRecord:
        """Answer a shard, write its output and then its record.

        Raises:
            DataError: its file cannot be read; or a row has no answer, and such a row is to stop the work.
        """
        if attempt.suspects is not None:
            self._try_suspects(attempt, attempt.suspects)
        shard, settings = attempt.shard, self._settings
        started, tokens = time.monotonic(), self._tokens()
        unusable = RejectedRows(settings.on_error)
        opened = _ShardWindows(settings, attempt, unusable)
        with (
            opened as (windows, inputs),
            self._output.results_of(shard.number, shard.first + 1) as results,
        ):
            for number, window in enumerate(windows):
                self._report({"window": number, "rows": len(window)})
                answered, refused = answer_rows_of(window, inputs, self._answer, unusable)
                results.write([row.result(settings.keep_input) for row in answered])
                for place, reason in sorted(refused.items()):
                    unusable.add(window[place].row, reason)
                self._report({"done": opened.rows_read, "tokens": self._tokens() - tokens})
        record = ShardRecord(
            number=shard.number,
            rows=unusable.answered + unusable.count,
            answered=unusable.answered,
            results=results.count,
            rejects=unusable.in_order(),
            size=results.size,
            content=results.content,
            tokens=self._tokens() - tokens,
            seconds=round(time.monotonic() - started, 3),
            worker=self._worker,
        )
        self._output.write_record(record)
        return record

    def _answer(self, items: list[Any]) -> list[Any]:
        answers: list[Any] = self._task(items, **self._settings.parameters)
        return answers

    def _try_suspects(self, attempt: ShardTry, suspects: SuspectRows) -> None:
        """Answer suspect rows in pieces, and drop the answers: either the process ends here, or it is none of them."""
        unusable = RejectedRows("null" if self._settings.on_error == "null" else "skip")
        with _ShardWindows(self._settings, attempt, unusable) as (windows, _):
            window = next(islice(windows, suspects.window, None), [])
        rows = window[suspects.first : suspects.first + suspects.count]
        for first in range(0, len(rows), suspects.piece):
            piece = [row for row in rows[first : first + suspects.piece] if not row.problem]
            count = min(suspects.piece, len(rows) - first)
            self._report({"piece": suspects.first + first, "rows": count, "row": rows[first].row.place})
            for _ in answer_window(piece, self._answer) if piece else ():
                pass


class RejectedRows(UnusableRows):
    """Rows without an answer, kept with their reasons."""

    def __init__(self, on_error: str) -> None:
        super().__init__(on_error, lambda message: None)
        self._reasons: dict[str, str] = {}

    def add(self, row: Row, reason: str) -> None:
        """Take a row; see :class:`UnusableRows`."""
        super().add(row, reason)
        self._reasons[row.place] = reason

    def in_order(self) -> list[dict[str, str]]:
        """Return the rows in the order of their file."""
        places = sorted(self._reasons, key=lambda place: int(place[len(place.rstrip("0123456789")) :] or 0))
        return [{"row": place, "reason": self._reasons[place]} for place in places]


class _ShardWindows:
    """The windows of a shard, with the file open.

    Attributes:
        rows_read: rows of the shard that were read so far.
    """

    def __init__(self, settings: AnswerSettings, attempt: ShardTry, unusable: UnusableRows) -> None:
        self._settings, self._attempt, self._unusable = settings, attempt, unusable
        self.rows_read = 0
        self._opened = open_input(settings, attempt.file.name, attempt.shard.row_start)

    def __enter__(self) -> tuple[Iterator[list[InputRow]], TaskInputs]:
        stream, inputs = self._opened.__enter__()
        stream.rows = self._rows(stream.rows)
        windows = gather_windows(
            stream, inputs, self._unusable, above=self._attempt.shard.first, largest=self._settings.largest_window
        )
        return windows, inputs

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def _rows(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows of the shard; those that ended a process have a problem."""
        shard, rejected = self._attempt.shard, self._attempt.rejected
        for row in islice(rows, shard.rows):
            self.rows_read += 1
            yield row._replace(problem=rejected[row.place]) if row.place in rejected else row
        if self.rows_read < shard.rows:
            raise DataError(
                f"{self._attempt.file.name} has changed since its shards were fixed: shard {shard.number} has "
                f"{self.rows_read} rows in place of {shard.rows}. Start again with --overwrite."
            )
