"""Answers to a window of rows: all at once, and by halves where the task refuses one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ...core.errors import InputError
from ...data.row_stream import RowStream
from .partial_output import PartialOutput
from .plan import RunPlan
from .result_writers import AnsweredRow, ResultWriter
from .row_progress import RowProgress
from .row_windows import LARGEST_WINDOW, InputRow, SkippedRows, gather_windows, last_window_end
from .task_inputs import TaskInputs


def answer_rows(
    plan: RunPlan,
    stream: RowStream,
    inputs: TaskInputs,
    skipped: SkippedRows,
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
    largest = min(LARGEST_WINDOW, getattr(task, "chunk_size", LARGEST_WINDOW))
    done = 0
    if output is not None:
        done = output.start(plan.identity, resume=plan.resume, window_end=partial(last_window_end, largest=largest))
    progress.skip(done)
    for window in gather_windows(stream, inputs, skipped, done=done, largest=largest):
        answered: list[AnsweredRow] = []
        refused: dict[int, str] = {}
        for place, answer in answer_window(window, lambda items: task(items, **parameters)):
            row, item = window[place]
            if isinstance(answer, InputError):
                refused[place] = str(answer).replace("inputs[0]", "the input")
                if not plan.skip:
                    break
            else:
                answered.append(AnsweredRow(inputs.as_columns(row.value), item, answer))
        writer.write(answered, list(refused) if plan.skip else [])
        for place, reason in refused.items():
            skipped.add(window[place].row, reason)
        progress.add(len(window))


def answer_window(
    window: list[InputRow], answer: Callable[[list[Any]], list[Any]], first: int = 0
) -> Iterator[tuple[int, Any]]:
    """Yield the place of every row of a window with its answer, or with the error of a row that the task refuses.

    The window is halved until a refused row is alone, so that the other rows stay fast.

    Args:
        window: the rows.
        answer: answers a list of inputs.
        first: place of the window's first row.
    """
    try:
        yield from enumerate(answer([row.item for row in window]), first)
    except InputError as error:
        if len(window) == 1:
            yield first, error
            return
        middle = len(window) // 2
        yield from answer_window(window[:middle], answer, first)
        yield from answer_window(window[middle:], answer, first + middle)
