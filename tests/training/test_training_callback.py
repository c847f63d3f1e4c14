"""Callbacks hear of a run and do not change its numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import TrainingCallback, WandbCallback, distill, finetune
from distilbert.training.distill_config import DistillConfig
from distilbert.training.training_progress import TrainingProgress
from tests.training.finetuning.tiny_tasks import config_of as finetune_config

from .tiny_run import SPEEDS, assert_equal, read_metrics, read_tensors, settings, write_model


class Listener(TrainingCallback):
    """Remembers its calls, and does what could change a run."""

    def __init__(self, fails_at: int = 0) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._fails_at = fails_at

    def on_start(self, settings: dict[str, Any]) -> None:
        self.calls.append(("start", settings["max_steps"]))
        settings.clear()

    def on_record(self, record: dict[str, Any]) -> None:
        self.calls.append(("record", {key: value for key, value in record.items() if key not in SPEEDS}))
        torch.rand(3)
        np.random.rand(3)
        if record["kind"] == "train" and record["step"] == self._fails_at:
            raise ValueError("the tracker is full")
        record.clear()

    def on_end(self, error: BaseException | None) -> None:
        self.calls.append(("end", error))


def config_for(folder: Path, output: str) -> DistillConfig:
    return DistillConfig(**settings(folder, teacher=write_model(folder / "teacher"), output=str(folder / output)))


def test_callbacks_hear_everything_and_change_nothing(tmp_path: Path) -> None:
    plain = distill(config_for(tmp_path, "plain"), verbose=False)
    listener = Listener()
    heard = distill(config_for(tmp_path, "heard"), verbose=False, callbacks=[listener, TrainingCallback()])
    assert listener.calls[0] == ("start", 4)
    assert [record for kind, record in listener.calls if kind == "record"] == read_metrics(heard)
    assert listener.calls[-1] == ("end", None)
    assert read_metrics(heard) == read_metrics(plain)
    assert_equal(read_tensors(heard, 4), read_tensors(plain, 4))


def test_a_run_that_a_callback_ended_is_resumed_to_the_same_numbers(tmp_path: Path) -> None:
    plain = distill(config_for(tmp_path, "plain"), verbose=False)
    listener, config = Listener(fails_at=3), config_for(tmp_path, "ended")
    with pytest.raises(ValueError, match="the tracker is full"):
        distill(config, verbose=False, callbacks=[listener])
    assert str(listener.calls[-1][1]) == "the tracker is full"
    resumed = distill(config, resume=True, verbose=False, callbacks=[Listener()])
    assert read_metrics(resumed) == read_metrics(plain)
    assert_equal(read_tensors(resumed, 4), read_tensors(plain, 4))


class FakeWandb(ModuleType):
    """Drops what W&B drops: values for a step before the last one."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.kept: list[dict[str, float]] = []
        self.axes: dict[str, str | None] = {}
        self._step = -1

    def init(self, **options: Any) -> FakeWandb:
        return self

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.axes[name] = step_metric

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        step = self._step + 1 if step is None else step
        if step >= self._step:
            self.kept.append(values)
            self._step = step

    def finish(self, exit_code: int) -> None:
        pass


def test_a_sweep_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    finetune(finetune_config(tmp_path, seeds=2, max_steps=2), verbose=False, callbacks=[WandbCallback()])
    assert [values["step"] for values in wandb.kept] == [1, 2, 2, 1, 2, 2]
    assert wandb.axes == {"step": None, "*": "step"}
    assert ["train/loss" in values for values in wandb.kept] == [True, True, False] * 2


@pytest.mark.parametrize(
    ("losses", "warned"),
    [
        ([2.0, 1.5, 4.1, 4.2, 4.3, 9.0], 1),  # said once
        ([2.0, 4.1, 4.2, 1.0, 4.1, 4.2, 3.9], 0),  # it comes down again
        ([0.01, 0.015, 0.012, 0.019], 0),
    ],
)
def test_a_run_that_diverges_is_told(losses: list[float], warned: int, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"kind": "train", "step": step, "steps": 9, "tokens": 9, "terms": {"a": loss, "b": 0.0}, "loss": loss,
         "tokens_per_second": 1.0}
        for step, loss in enumerate(losses, 1)
    ]  # fmt: skip
    with TrainingProgress(verbose=False) as progress:
        for _ in range(2):  # two runs of a sweep
            for row in rows:
                progress.show_record(row)
    said = [record.getMessage() for record in caplog.records if "diverges" in record.getMessage()]
    assert len(said) == 2 * warned
    if warned:
        assert said[0].startswith("the loss began with 2 and is 4.3 now: the run diverges. Lower the learning rate")
