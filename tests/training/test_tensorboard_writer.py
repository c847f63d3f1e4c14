from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.errors import MissingExtraError
from distilbert.training.reports.metrics_log import TensorBoardWriter
from tests.training.runs import evaluation_record, train_record

WITHOUT_TENSORFLOW = """
import sys
from pathlib import Path
from distilbert.training.reports.metrics_log import TensorBoardWriter
with TensorBoardWriter(Path(sys.argv[1])) as board:
    board.log({"kind": "train", "step": 1, "loss": 2.0})
assert "tensorflow" not in sys.modules
assert "tensorboard.compat.notf" not in sys.modules
"""


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_writes_every_number_under_its_kind(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as board:
        board.log(train_record(10))
        board.log(train_record(20))
        board.log(evaluation_record(20, taught=False))
    found = scalars(tmp_path)
    assert set(found) == {
        *(f"train/{key}" for key in ("tokens", "seconds", "learning_rate", "loss", "tokens_per_second")),
        *(f"train/{key}" for key in ("gradient_norm", "terms/ce", "terms/mlm", "terms/cos")),
        *(f"evaluation/{key}" for key in ("tokens", "seconds", "perplexity", "loss")),
    }
    for step, value in found["train/terms/ce"]:
        assert value == pytest.approx(train_record(step)["terms"]["ce"], rel=1e-6)
    assert [step for step, _ in found["train/loss"]] == [10, 20]


def test_a_resumed_run_replaces_what_comes_again(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as board:
        for step in range(1, 9):
            board.log({"kind": "train", "step": step, "loss": 1.0})
    with TensorBoardWriter(tmp_path, first_step=6) as board:
        for step in (6, 7):
            board.log({"kind": "train", "step": step, "loss": 2.0})
    assert scalars(tmp_path)["train/loss"] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0), (6, 2.0), (7, 2.0)]


def test_without_a_folder_it_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    board = TensorBoardWriter(None)
    board.log(train_record(1))
    board.close()
    board.close()
    assert not list(tmp_path.iterdir())


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "tensorboard":
                raise ModuleNotFoundError(name, name=name)

    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"pip install 'distilbert\[train\]'"):
        TensorBoardWriter(tmp_path)


def test_does_not_load_tensorflow(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", WITHOUT_TENSORFLOW, str(tmp_path)], check=True, timeout=120)
    assert scalars(tmp_path) == {"train/loss": [(1, 2.0)]}
