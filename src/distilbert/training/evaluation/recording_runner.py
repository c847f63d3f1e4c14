"""A runner that records the batches that another runner answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.config import DistilBertConfig
from ...core.runner_protocol import Batch, Runner
from ...core.schema import Head
from ...data.examples import Example
from ...tasks import Task
from .task_metrics import CountCallback, predict, with_runner


class RecordingRunner:
    """Passes batches to another runner and keeps them.

    Args:
        runner: answers the batches.

    Attributes:
        batches: all batches so far, in order.
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


def record_batches(
    task: Task[Any], examples: Sequence[Example], on_progress: CountCallback | None = None
) -> list[Batch]:
    """Return the batches that a task sends to its runner to answer ``examples``."""
    recorder = RecordingRunner(task.runner)
    predict(with_runner(task, recorder), examples, on_progress=on_progress)
    return recorder.batches
