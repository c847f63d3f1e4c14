"""One number for a runner, whatever computes it: the main metric of a task, on the same examples each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.config import DistilBertConfig
from ...core.runner_protocol import Batch, Runner
from ...core.schema import Head
from ...data.examples import MULTI, REGRESSION, Example, Labels
from ...tasks import Task
from .metrics import THRESHOLD, figures, main_metric
from .predictions import Progress, predict

PER_CENT = "question-answering"  # the task whose metrics are in per cent already


class Scorer:
    """Scores runners of one model on the same examples.

    Args:
        task: of the model; its tokenizer and parameters serve every runner.
        examples: labelled ones.
        labels: of the model.
        on_progress: called with the number of examples done, and of all.

    Attributes:
        metric: name of what is measured: the main metric of the task; of fill-mask, where less perplexity is better,
            the accuracy.
        predictions: of each runner that was scored, in turn.
    """

    def __init__(
        self, task: Task[Any], examples: Sequence[Example], labels: Labels, on_progress: Progress | None = None
    ) -> None:
        self._task, self._examples, self._labels, self._on_progress = task, examples, labels, on_progress
        name, higher = main_metric(task.task, labels)
        self.metric = name if higher else "accuracy"
        self.predictions: list[list[Any]] = []

    def __call__(self, runner: Runner) -> float:
        """Return the metric in points: 100 is perfect."""
        found = predict(with_runner(self._task, runner), self._examples, on_progress=self._on_progress)
        self.predictions.append(found)
        value = figures(self._task.task, self._examples, found, self._labels)[self.metric]
        return value if self._task.task == PER_CENT else 100 * value

    def changed(self, first: int, second: int) -> tuple[int, int] | None:
        """Count the answers that two runners give differently.

        Args:
            first: index into ``predictions``.
            second: another one.

        Returns:
            How many differ, of how many; words count in token-classification. None where answers are numbers.
        """
        pairs = list(zip(self.predictions[first], self.predictions[second], strict=True))
        kind = self._task.task
        if kind == "token-classification":
            words = [one != other for pair in pairs for one, other in zip(*pair, strict=True)]
            return sum(words), len(words)
        if kind == "question-answering":
            return sum(one["text"] != other["text"] for one, other in pairs), len(pairs)
        if kind == "fill-mask" or self._labels.problem == REGRESSION:
            return None
        if self._labels.problem == MULTI:
            differ = [bool(((one >= THRESHOLD) != (other >= THRESHOLD)).any()) for one, other in pairs]
        else:
            differ = [int(one.argmax()) != int(other.argmax()) for one, other in pairs]
        return sum(differ), len(pairs)


class Recorder:
    """A runner that keeps what another one is asked.

    Args:
        runner: what answers.

    Attributes:
        batches: all of them, in order.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.batches: list[Batch] = []

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self._runner.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self._runner.head

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Keep ``batch`` and answer it."""
        self.batches.append(batch)
        return self._runner(batch)


def with_runner(task: Task[Any], runner: Runner) -> Task[Any]:
    """Return the same task over another runner."""
    return type(task)(runner, task.tokenizer, batch_tokens=task.batch_tokens, batch_size=task.batch_size)


def record(task: Task[Any], examples: Sequence[Example], on_progress: Progress | None = None) -> list[Batch]:
    """Return the batches that answering ``examples`` takes."""
    recorder = Recorder(task.runner)
    predict(with_runner(task, recorder), examples, on_progress=on_progress)
    return recorder.batches
