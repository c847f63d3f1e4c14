"""Answers to a window of rows: all at once, and by halves where the task refuses one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..core.errors import DataError, InputError
from ..tasks.checks import LEAVE_OUT
from .result_rows import joined
from .row_windows import InputRow, UnusableRows
from .task_inputs import TaskInputs

Answer = Callable[[list[Any]], list[Any]]  # answers a list of inputs


class AnsweredRow(NamedTuple):
    """A row with its answer.

    Attributes:
        columns: the row as named columns.
        item: the task's input made from it.
        answer: the task's answer.
    """

    columns: dict[str, Any]
    item: Any
    answer: Any

    def result(self, keep_input: bool) -> Any:
        """Return what is written: the answer, or the row joined with it."""
        return joined(self.columns, self.answer) if keep_input else self.answer


class AnsweredWindow(NamedTuple):
    """A window and what became of its rows.

    Attributes:
        rows: those with an answer, in order; where rows without an answer get null, all of them.
        refused: why a row has no answer, by its place in the window.
    """

    rows: list[AnsweredRow]
    refused: dict[int, str]


def answer_rows_of(
    window: list[InputRow], inputs: TaskInputs, answer: Answer, unusable: UnusableRows
) -> AnsweredWindow:
    """Answer a window. Rows without an answer are not reported yet: they are, once the window is written.

    Args:
        window: the rows.
        inputs: made their inputs; it names their columns.
        answer: answers a list of inputs.
        unusable: counts the answered rows, and knows what rows without an answer get. Where such a row stops the work,
            what follows it is left out.
    """
    answered: list[AnsweredRow] = []
    refused: dict[int, str] = {place: row.problem for place, row in enumerate(window) if row.problem}
    usable = [place for place in range(len(window)) if place not in refused]
    for number, result in answer_window([window[place] for place in usable], answer) if usable else ():
        place = usable[number]
        if isinstance(result, InputError):
            refused[place] = _in_words_of_a_file(str(result))
            if unusable.stops:
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
    return AnsweredWindow(answered, refused)


def _without_answer(row: InputRow, inputs: TaskInputs) -> AnsweredRow:
    """Return a row with null in place of an answer, and with what can be told of its columns."""
    try:
        columns = inputs.as_columns(row.row.value) if row.row.value is not None else {}
    except DataError:
        columns = {}
    return AnsweredRow(columns, row.item, None)


def _in_words_of_a_file(message: str) -> str:
    """Return why a task refuses an input, in words that fit the row of a file."""
    return message.replace("inputs[0]", "the input").partition(f": {LEAVE_OUT}")[0]


def answer_window(window: list[InputRow], answer: Answer, first: int = 0) -> Iterator[tuple[int, Any]]:
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
