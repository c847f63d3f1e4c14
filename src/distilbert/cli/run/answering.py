"""The rows of a run, answered a window at a time and written."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...data.row_answers import answer_rows_of
from ...data.row_stream import RowStream
from ...data.row_windows import LARGEST_WINDOW, UnusableRows, gather_windows, last_window_end
from ...data.task_inputs import TaskInputs
from .partial_output import PartialOutput
from .plan import RunPlan
from .result_writers import ResultWriter
from .row_progress import RowProgress


def answer_rows(
    plan: RunPlan,
    stream: RowStream,
    inputs: TaskInputs,
    unusable: UnusableRows,
    task: Any,
    writer: ResultWriter,
    output: PartialOutput | None,
    progress: RowProgress,
) -> None:
    """Answer every row and write a window at a time, after the rows that an earlier run has done.

    Raises:
        DataError: a row cannot be used and is not to be skipped; the rows before it are written.
        UsageError: the partial output is that of another command.
    """
    parameters = plan.parameters_of(task.task)

    def answer(items: list[Any]) -> list[Any]:
        answers: list[Any] = task(items, **parameters)
        return [{plan.vector_name: answer} for answer in answers] if plan.vector_name else answers

    largest = min(LARGEST_WINDOW, getattr(task, "chunk_size", LARGEST_WINDOW))
    done = 0
    if output is not None:
        done = output.start(plan.identity, resume=plan.resume, window_end=partial(last_window_end, largest=largest))
        unusable.count, unusable.answered = output.rows_without_answer, done - output.rows_without_answer
    progress.skip(done)
    for window in gather_windows(stream, inputs, unusable, done=done, largest=largest):
        answered, refused = answer_rows_of(window, inputs, answer, unusable)
        writer.write(answered, list(refused) if plan.on_error == "skip" else [])
        for place, reason in sorted(refused.items()):
            unusable.add(window[place].row, reason)
        progress.add(len(window))
