"""Evaluation during fine-tuning: the answers that a user of the model would get, and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...models.pytorch.runner import PytorchRunner
from ...tasks.registry import TASKS
from ...text.base import TokenizerBase
from ..data.examples import Example, Labels
from ..evaluation.metrics import figures, main_metric
from ..evaluation.predictions import predict


class Examples:
    """Judges a model on labelled examples; see :class:`~distilbert.training.loop.Judge`."""

    at_start = False

    def __init__(self, task: str, model: Any, tokenizer: TokenizerBase, examples: Sequence[Example], labels: Labels):
        self._task, self._model, self._tokenizer = task, model, tokenizer
        self._examples, self._labels = examples, labels
        self.best, self.higher = main_metric(task, labels)

    def share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return the number and the prediction of every example whose turn it is."""
        with torch.autocast(device.type, enabled=False):
            task = TASKS[self._task](PytorchRunner(self._model), self._tokenizer)
            predictions = predict(task, self._examples[process::processes])
        return [(process + processes * place, one) for place, one in enumerate(predictions)]

    def figures(self, shares: list[Any]) -> dict[str, float]:
        """Return the metrics of all predictions."""
        predictions = [one for _, one in sorted(shares, key=lambda share: share[0])]
        return figures(self._task, self._examples, predictions, self._labels)
