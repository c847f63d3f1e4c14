"""Callbacks hear of a run and do not change its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import TrainingCallback, distill
from distilbert.training.distill_config import DistillConfig

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
