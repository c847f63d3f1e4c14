"""What the importance of a part says is what happens to the scores if the part fades a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert.core.runner_protocol import Batch
from distilbert.data.labelled import read_examples
from distilbert.models.pytorch.runner import PytorchRunner
from distilbert.tasks import pipeline
from distilbert.training.evaluation.recording_runner import record_batches
from distilbert.training.shrinking.importance import measure_importance
from tests.tiny import tiny_model
from tests.training.finetuning.tiny_tasks import KINDS, TASKS, write_data, write_teacher

FADED = 1e-3
SHRUNK_KINDS = [kind for kind in KINDS if kind != "text"]


def batches_of(lengths: list[list[int]]) -> list[Batch]:
    draw = np.random.default_rng(0)
    return [Batch.of([draw.integers(5, 97, length).tolist() for length in batch]) for batch in lengths]


def scores(model: Any, batches: list[Batch]) -> list[np.ndarray]:
    """Scores (B, L) of each batch, in float64 steps small enough for a difference."""
    return [PytorchRunner(model)(batch)["logits"].astype(np.float64) for batch in batches]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_it_is_the_squared_change_of_the_score(pooling: str) -> None:
    """With one score the random signs do not matter, so that the figure is exact."""
    model = tiny_model("ForSequenceClassification", num_labels=1, classifier_pooling=pooling, n_layers=2)
    batches = batches_of([[9, 4, 1], [7]])
    importance = measure_importance(model, batches)
    before = np.concatenate(scores(model, batches))
    for layer, block in enumerate(model.distilbert.transformer.layer):
        parts = [(block.attention.out_lin, slice(head * 8, head * 8 + 8), importance.heads[layer][head])
                 for head in range(3)]  # fmt: skip
        parts += [(block.ffn.lin2, slice(n, n + 1), importance.columns[layer][n]) for n in (0, 17, 39)]
        for linear, columns, expected in parts:
            with torch.no_grad():
                kept = linear.weight.clone()
                linear.weight[:, columns] *= 1 - FADED
                after = np.concatenate(scores(model, batches))
                linear.weight.copy_(kept)
            change = np.mean(((after - before) / FADED) ** 2)
            assert change == pytest.approx(expected, rel=0.05, abs=1e-4)


def test_random_signs_measure_all_scores_at_once() -> None:
    """The mean over many draws is the sum over the scores, each measured alone."""
    model = tiny_model("ForSequenceClassification", num_labels=3)
    batches = batches_of([[5, 8]])
    drawn = np.mean([measure_importance(model, batches, seed).heads for seed in range(300)], axis=0)
    alone = np.zeros_like(drawn)
    weight, bias = model.classifier.weight.detach().clone(), model.classifier.bias.detach().clone()
    for label in range(3):
        one = tiny_model("ForSequenceClassification", num_labels=1)
        one.load_state_dict(
            model.state_dict() | {"classifier.weight": weight[[label]], "classifier.bias": bias[[label]]}
        )
        alone += measure_importance(one, batches).heads
    np.testing.assert_allclose(drawn, alone, rtol=0.2)


@pytest.mark.parametrize("kind", SHRUNK_KINDS)
def test_every_task_is_measured(tmp_path: Path, kind: str) -> None:
    folder = write_teacher(tmp_path / "model", kind, n_layers=2)
    task = pipeline(TASKS[kind], folder, runner="engine", precision="fp32")
    examples = read_examples(TASKS[kind], [write_data(tmp_path / "data", kind)], labelled=False).examples
    model = pipeline(TASKS[kind], folder, runner="pytorch").model
    importance = measure_importance(model, record_batches(task, examples))
    assert [layer.shape for layer in importance.heads] == [(3,)] * 2
    assert [layer.shape for layer in importance.columns] == [(40,)] * 2
    assert all((layer > 0).any() for layer in importance.heads + importance.columns)
    assert not any(parameter.grad is not None for parameter in model.parameters())
