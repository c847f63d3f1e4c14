"""Answers to a window of rows: all at once, and by halves where the task refuses one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ...core.errors import DataError, InputError
from ...data.row_stream import RowStream
from .partial_output import PartialOutput
from .plan import RunPlan
from .result_writers import AnsweredRow, ResultWriter
from .row_progress import RowProgress
from .row_windows import LARGEST_WINDOW, InputRow, UnusableRows, gather_windows, last_window_end
from .task_inputs import TaskInputs


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
        return answers

    largest = min(LARGEST_WINDOW, getattr(task, "chunk_size", LARGEST_WINDOW))
    done = 0
    if output is not None:
        done = output.start(plan.identity, resume=plan.resume, window_end=partial(last_window_end, largest=largest))
        unusable.count, unusable.answered = output.rows_without_answer, done - output.rows_without_answer
    progress.skip(done)
    for window in gather_windows(stream, inputs, unusable, done=done, largest=largest):
        answered: list[AnsweredRow] = []
        refused: dict[int, str] = {place: row.problem for place, row in enumerate(window) if row.problem}
        usable = [place for place in range(len(window)) if place not in refused]
        for number, result in answer_window([window[place] for place in usable], answer) if usable else ():
            place = usable[number]
            if isinstance(result, InputError):
                refused[place] = _in_words_of_a_file(str(result))
                if plan.on_error == "stop":
                    break
            else:
                row = window[place]
                answered.append(AnsweredRow(inputs.as_columns(row.row.value), row.item, result))
        unusable.answered += len(answered)
        if unusable.get_null:
            answers = iter(answered)
            answered = [
                _without_answer(row, inputs) if place in refused else next(answers) for place, row in enumerate(window)
            ]
        writer.write(answered, list(refused) if plan.on_error == "skip" else [])
        for place, reason in sorted(refused.items()):
            unusable.add(window[place].row, reason)
        progress.add(len(window))


def _without_answer(row: InputRow, inputs: TaskInputs) -> AnsweredRow:
    """Return a row with null in place of an answer, and with what can be told of its columns."""
    try:
        columns = inputs.as_columns(row.row.value) if row.row.value is not None else {}
    except DataError:
        columns = {}
    return AnsweredRow(columns, row.item, None)


def _in_words_of_a_file(message: str) -> str:
    """Return why a task refuses an input, in words that fit the row of a file."""
    return message.replace("inputs[0]", "the input").partition("; leave it out, give")[0]


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
