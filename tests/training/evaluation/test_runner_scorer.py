"""One number for a runner, and how many answers two runners give differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.data.examples import Example  # noqa
from distilbert.data.labelled import read_examples
from distilbert.data.labels import labels_of_config
from distilbert.engine.engine_runner import EngineRunner
from distilbert.tasks.loading import pipeline
from distilbert.training.evaluation.quantizer import RunnerScorer
from distilbert.training.evaluation.recording_runner import record_batches
from distilbert.training.evaluation.task_metrics import compute_metrics, predict

from .task_cases import KINDS, TAGS, case, write_data, write_model

METRICS = {
    "single": "accuracy", "binary": "accuracy", "multi": "f1_micro", "regression": "spearman", "tags": "f1",
    "questions": "f1", "choices": "accuracy", "masks": "accuracy", "similarities": "spearman",
}  # fmt: skip


class Silent:
    """What a scorer needs of a task, where predictions are given."""

    def __init__(self, task: str) -> None:
        self.task = task


@pytest.mark.parametrize("kind", KINDS)
def test_points_of_every_metric(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, examples, predictions, labels = case(kind, 40, 0)
    module = "distilbert.training.evaluation.quantizer"
    monkeypatch.setattr(f"{module}.with_runner", lambda task, runner: task)
    monkeypatch.setattr(f"{module}.predict", lambda task, examples, on_progress: predictions)
    task: Any = Silent(name)
    scorer = RunnerScorer(task, examples, labels)
    runner: Any = None
    points = scorer(runner)
    assert scorer.metric == METRICS[kind]
    expected = compute_metrics(name, examples, predictions, labels)[METRICS[kind]]
    assert points == pytest.approx(expected if kind == "questions" else 100 * expected)
    assert 1 < points < 100
    changed = scorer.count_changes(0, 0)
    count = sum(map(len, predictions)) if kind == "tags" else 40
    assert changed == (None if kind in ("regression", "similarities", "masks") else (0, count))


@pytest.mark.parametrize(
    ("kind", "first", "second", "changed"),
    [
        ("single", [[0.1, 0.9, 0], [0.6, 0.4, 0]], [[0.2, 0.8, 0], [0.4, 0.6, 0]], (1, 2)),
        ("multi", [[0.1, 0.9, 0.9], [0.6, 0.4, 0]], [[0.1, 0.8, 0.4], [0.7, 0.3, 0.1]], (1, 2)),
        ("tags", [("O", "B-PER"), ("O",)], [("B-PER", "O"), ("O",)], (2, 3)),
        ("questions", [{"text": "a", "score": 1}, {"text": "b", "score": 1}], [{"text": "a", "score": 0}] * 2, (1, 2)),
        ("choices", [[0.1, 0.9], [0.6, 0.4]], [[0.9, 0.1], [0.4, 0.6]], (2, 2)),
    ],
)
def test_answers_that_change(kind: str, first: list[Any], second: list[Any], changed: tuple[int, int]) -> None:
    name, examples, _, labels = case(kind, 2, 0)
    task: Any = Silent(name)
    scorer = RunnerScorer(task, examples, labels)
    made = [[np.array(one) if isinstance(one, list) else one for one in part] for part in (first, second)]
    scorer.predictions = made
    assert scorer.count_changes(0, 1) == changed


@pytest.mark.parametrize("name", ["text-classification", "token-classification", "fill-mask"])
def test_any_runner_is_scored_as_evaluation_does(name: str, tmp_path: Path) -> None:
    names = {"id2label": dict(enumerate(TAGS))} if name == "token-classification" else {}
    task = pipeline(name, write_model(tmp_path / "model", name, **names), precision="fp32")
    examples = read_examples(name, [write_data(tmp_path, name, count=30)]).examples
    labels = labels_of_config(task.config, name)
    done: list[tuple[int, int]] = []
    scorer = RunnerScorer(task, examples, labels, lambda *counts: done.append(counts))
    points = scorer(EngineRunner(task.model, "fp32"))
    assert points == pytest.approx(
        100 * compute_metrics(name, examples, predict(task, examples), labels)[scorer.metric]
    )
    assert done == [(30, 30)]
    assert len(scorer.predictions) == 1


def test_what_a_runner_is_asked(tmp_path: Path) -> None:
    task = pipeline("text-classification", write_model(tmp_path / "model", "text-classification"), precision="fp32")
    examples = read_examples("text-classification", [write_data(tmp_path, "text-classification")]).examples
    batches = record_batches(task, examples)
    assert sum(len(batch.lengths) for batch in batches) == 12 + 3  # the first text takes four windows
    longest = max(int(batch.lengths.max()) for batch in batches)
    assert longest == task.max_tokens
