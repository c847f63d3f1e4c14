"""``distilbert run --source``: the sentences of a file or pipe, those nearest to one sentence first."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..core.errors import InputError, UsageError
from ..data.row_streams import open_source
from .columns import Columns
from .failures import OK, warn
from .job import Job, halve, load, plan_output, printer, settled
from .progress import Progress
from .records import joined
from .sinks import Answered
from .windows import Entry, Skipped, windows


class Ranked(NamedTuple):
    """A sentence and its cosine to the source; of equal ones, the first in the file comes first."""

    score: float
    order: int
    sentence: str
    columns: dict[str, Any]

    @property
    def record(self) -> dict[str, Any]:
        """What is written."""
        return {"score": self.score, "sentence": self.sentence}


def rank(job: Job) -> int:
    """Compare every sentence to ``job.source`` and write them, best first.

    Only ``top_k`` sentences are held in memory, where that is given.

    Raises:
        DistilBertError: what was asked for cannot be done; the message says why.
    """
    if job.source is None or not job.source.strip():
        raise UsageError("--source is empty: give the sentence that the others are compared to.")
    if job.top_k is not None and job.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, got {job.top_k}.")
    job.params.pop("top_k", None)  # it counts sentences here, and is no parameter of the task
    part = plan_output(job)
    with open_source(job.input, job.format) as source:
        columns = settled(Columns("sentence-similarity", job.column, single=True), source, job.keep_input)
        task = load(job)
        skipped = Skipped(source, not job.skip, warn)
        source.ready = lambda: True  # a ranking is printed at the end, so that nobody waits for single rows
        with Progress(source, sys.stderr.isatty() if job.progress is None else job.progress) as progress:
            scored = _scored(job, windows(source, columns, skipped), columns, skipped, task, progress)
            best = sorted(scored) if job.top_k is None else heapq.nsmallest(job.top_k, scored)
    best = [one._replace(score=-one.score) for one in best]
    if part is None:
        printer(job, "ranking").write([Answered(one.columns, one.sentence, one.record) for one in best], [])
    else:
        records = [joined(one.columns, one.record) if job.keep_input else one.record for one in best]
        part.start({"ranking": job.source}, resume=False, boundary=int)
        try:
            part.write(records, [])
            part.finish()
        finally:
            part.path.unlink(missing_ok=True)
            part.note.unlink(missing_ok=True)
    skipped.summarize()
    return OK


def _scored(
    job: Job, gathered: Iterable[list[Entry]], columns: Columns, skipped: Skipped, task: Any, progress: Progress
) -> Iterator[Ranked]:
    """Yield every sentence with its cosine negated, so that sorting puts the nearest first."""

    def compare(sentences: list[str]) -> list[float]:
        scores: list[float] = task({"source_sentence": job.source, "sentences": sentences}, **job.params)
        return scores

    for window in gathered:
        for place, score in halve(window, 0, compare):
            row, sentence = window[place]
            if isinstance(score, InputError):
                skipped.add(row, str(score))
                continue
            kept = columns.as_columns(row.value) if job.keep_input else {}
            yield Ranked(-score, progress.rows + place, sentence, kept)
        progress.add(len(window))
