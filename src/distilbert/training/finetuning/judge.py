"""Evaluation during fine-tuning: the answers that a user of the model would get, and their figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...data.examples import Example, Labels, QuestionExample, TextExample
from ...models.pytorch.runner import PytorchRunner
from ...tasks.registry import task_class
from ...text.tokenizer_base import TokenizerBase
from ..evaluation.metrics import figures, main_metric
from ..evaluation.predictions import predict


class Examples:
    """Judges a model on labelled examples; see :class:`~distilbert.training.loop.Judge`."""

    at_start = False

    def __init__(self, task: str, model: Any, tokenizer: TokenizerBase, examples: Sequence[Example], labels: Labels):
        self._task, self._model, self._tokenizer = task, model, tokenizer
        self._examples, self._labels = examples, labels
        # Where a question has no answer, "no answer" may be one to all, and so to all shares.
        questions = (one for one in examples if isinstance(one, QuestionExample))
        self._unanswered: Sequence[Example] = [one for one in questions if not one.answers][:1]
        self.best, self.higher = main_metric(task, labels)

    def share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return the number and the prediction of every example whose turn it is."""
        turn = range(process, len(self._examples), processes)
        with torch.autocast(device.type, enabled=False):
            task = task_class(self._task)(PytorchRunner(self._model), self._tokenizer)
            if self._task == "fill-mask":  # masks depend on the place among all texts, so those of others are blank
                texts = [one if n in turn else TextExample("", "") for n, one in enumerate(self._examples)]
                predictions = predict(task, texts)[process::processes]
            else:
                predictions = predict(task, [*(self._examples[number] for number in turn), *self._unanswered])
        return list(zip(turn, predictions, strict=False))

    def figures(self, shares: list[Any]) -> dict[str, float]:
        """Return the metrics of all predictions."""
        predictions = [one for _, one in sorted(shares, key=lambda share: share[0])]
        return figures(self._task, self._examples, predictions, self._labels)
