"""One picklable object that answers batches, for the engines that other people run: Ray Data, Spark, Dask, and more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..core.forks import ForkSafeLock
from ..tasks.columns import Column

_loaded: dict[str, Any] = {}  # tasks of this process, by what they were loaded with
_owner = os.getpid()
_lock = ForkSafeLock()


class TaskWorker:
    """A task that is loaded once in each process that uses it, however often it is pickled.

    - Ray Data: ``dataset.map_batches(worker, batch_format="pandas")``
    - Spark: ``frame.mapInPandas(worker.map_frames, schema)``
    - Dask: ``frame.map_partitions(worker, meta=...)``
    - datasets: ``dataset.map(worker, batched=True)``
    - multiprocessing: ``pool.map(worker.answers, lists_of_texts)``
    - Beam: a ``ModelHandler`` whose ``load_model`` is :meth:`load` and whose ``run_inference`` is :meth:`answers`

    Args:
        task: name of the task.
        model: folder or name of the model, which must be there on every machine; None: the default of the task.
        column: the column or columns to read, as for ``task.frame``; None: those with the names of the arguments.
        threads: to compute with; None for all cores. Where an engine gives a process one core, pass 1.
        on_error: ``"raise"``, or ``"null"`` for missing values where a row has no answer.
        **options: further arguments of :func:`distilbert.pipeline`, parameters of the task among them.
    """

    def __init__(
        self,
        task: str,
        model: str | None = None,
        *,
        column: Column | None = None,
        threads: int | None = None,
        on_error: str = "raise",
        **options: Any,
    ) -> None:
        self.task, self.model, self.column, self.threads = task, model, column, threads
        self.on_error, self.options = on_error, options

    def load(self) -> Any:
        """Return the task, which is loaded in the first call of a process.

        Raises:
            DistilBertError: the model cannot be loaded.
        """
        global _owner
        key = repr((self.task, self.model, self.threads, sorted(self.options.items())))
        with _lock:
            if _owner != os.getpid():  # forked: the threads of the engine stayed behind
                _loaded.clear()
                _owner = os.getpid()
            if key not in _loaded:
                from ..tasks.loading import pipeline

                _loaded[key] = pipeline(self.task, self.model, threads=self.threads, **self.options)
            return _loaded[key]

    def __call__(self, batch: Any) -> Any:
        """Return a batch with the answers as further columns: ``label`` and ``score``, for example.

        Args:
            batch: a dict of columns, a DataFrame of pandas or polars, or an Arrow table; the result is of its kind.

        Raises:
            InputError: a row cannot be answered, or the batch has no such column.
        """
        return self.load().frame(batch, self.column, on_error=self.on_error)

    def map_frames(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Yield DataFrames with the answers, as Spark's ``mapInPandas`` and ``mapInArrow`` ask for them."""
        for frame in frames:
            yield self(frame)

    def answers(self, inputs: list[Any]) -> list[Any]:
        """Return the answers to a list of inputs, as the task gives them."""
        answers: list[Any] = self.load()(inputs, on_error=self.on_error)
        return answers
