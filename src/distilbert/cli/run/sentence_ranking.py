"""``distilbert run --source``: the sentences of a file or pipe, those nearest to one sentence first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...core.errors import InputError
from ...data.row_answers import AnsweredRow, answer_window
from ...data.row_stream import RowStream
from ...data.row_windows import UnusableRows, gather_windows
from ...data.task_inputs import TaskInputs
from .partial_output import PartialOutput
from .plan import RunPlan
from .result_writers import ResultWriter
from .row_progress import RowProgress


class RankedSentence(NamedTuple):
    """A sentence and its distance from the source; smaller ones sort first, equal ones in the order of the input."""

    negative_cosine: float
    order: int
    sentence: str
    columns: dict[str, Any]


def rank_rows(
    plan: RunPlan,
    stream: RowStream,
    inputs: TaskInputs,
    unusable: UnusableRows,
    task: Any,
    writer: ResultWriter,
    output: PartialOutput | None,
    progress: RowProgress,
) -> None:
    """Compare every sentence with ``plan.source`` and write them, the nearest first.

    Only ``plan.top_k`` sentences are held in memory, where that is given.

    Raises:
        DataError: a row cannot be used and is not to be skipped.
    """
    stream.ready = lambda: True  # a ranking is written at the end, so nobody waits for single rows
    ranked = _compare(plan, stream, inputs, unusable, task, progress)
    best = sorted(ranked) if plan.top_k is None else heapq.nsmallest(plan.top_k, ranked)
    answered = [
        AnsweredRow(row.columns, row.sentence, {"score": -row.negative_cosine, "sentence": row.sentence})
        for row in best
    ]
    if output is not None:
        output.start(plan.identity, resume=False, window_end=int)
    writer.write(answered, [])


def _compare(
    plan: RunPlan, stream: RowStream, inputs: TaskInputs, unusable: UnusableRows, task: Any, progress: RowProgress
) -> Iterator[RankedSentence]:
    parameters = plan.parameters_of(task.task)

    def cosines(sentences: list[str]) -> list[float]:
        scores: list[float] = task({"source_sentence": plan.source, "sentences": sentences}, **parameters)
        return scores

    for window in gather_windows(stream, inputs, unusable):
        for place, cosine in answer_window(window, cosines):
            row, sentence, _ = window[place]
            if isinstance(cosine, InputError):
                unusable.add(row, str(cosine))
                continue
            unusable.answered += 1
            columns = inputs.as_columns(row.value) if plan.keep_input else {}
            yield RankedSentence(-cosine, progress.rows + place, sentence, columns)
        progress.add(len(window))
