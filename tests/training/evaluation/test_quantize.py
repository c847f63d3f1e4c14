"""``quantize`` for every task, and on a real model and data where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilbert.core.installed import find_installed
from distilbert.engine.precision import has_int8
from distilbert.tasks.loading import pipeline
from distilbert.training.evaluation.quantizer import quantize
from tests.any_cpu import allow_int8
from tests.real.data import DATA_FOLDER

from .task_cases import HEADS, TAGS, write_data, write_model

TEXT = "text-classification"


@pytest.mark.parametrize("task", [task for task in HEADS if task != TEXT])
def test_every_task(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_int8(monkeypatch)
    names: dict[str, Any] = {"id2label": dict(enumerate(TAGS))} if task == "token-classification" else {}
    model = write_model(tmp_path / "model", task, **names)
    data = write_data(tmp_path, task, count=64)
    # Nothing was learned, so some of these score next to nothing, of which little can be lost.
    made = quantize(model, calibration=data, metric_data=data, output=tmp_path / "out", max_drop=30)
    assert made.measured["task"] == task
    assert made.measured["int8_products"] == 8
    assert 0 < made.measured["fp32"] <= 100
    changed = made.measured["changed"]
    assert (changed is None) == (task in ("fill-mask", "sentence-similarity"))
    if changed is not None:
        assert 0 <= changed["answers"] < 0.7 * changed["of"]
    assert pipeline(task, tmp_path / "out").runner.precision == "int8"


@pytest.mark.slow
@pytest.mark.skipif(not has_int8(), reason="this CPU has no instructions for int8")
def test_a_real_model_loses_half_a_point_at_most(tmp_path: Path) -> None:
    data = DATA_FOLDER / "sst2"
    if not data.is_dir():
        pytest.skip(f"the data set sst2 is not at {data}")
    installed = find_installed("distilbert-mini-sst2")
    if installed is None:
        pytest.skip("the model distilbert-mini-sst2 is not installed")
    made = quantize(installed, calibration=data / "train.tsv", metric_data=data / "dev.tsv", output=tmp_path / "out")
    assert made.measured["drop"] <= 0.5
    assert made.measured["int8_products"] == 12
    assert made.measured["changed"]["answers"] <= 0.02 * made.measured["changed"]["of"]
