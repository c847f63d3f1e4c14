"""The callbacks for trackers, with the real libraries, offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilbert import MlflowCallback, WandbCallback

RECORDS = [
    {"kind": "train", "step": 10, "loss": 0.5, "terms": {"task": 0.4}, "learning_rate": 1e-4},
    {"kind": "evaluation", "step": 10, "accuracy": 0.9},
]


@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    callback = WandbCallback("tests", mode="offline", settings={"x_disable_stats": True, "console": "off"})
    callback.on_start({"learning_rate": 1e-4})
    run = callback._run
    assert run.config["learning_rate"] == 1e-4
    logged: dict[str, float] = {}
    send = run.log
    monkeypatch.setattr(run, "log", lambda values: logged.update(values) or send(values))
    for record in RECORDS:
        callback.on_record(record)
    callback.on_end(None)
    assert logged == {
        "train/loss": 0.5, "train/terms/task": 0.4, "train/learning_rate": 1e-4, "evaluation/accuracy": 0.9, "step": 10
    }  # fmt: skip
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("error", "status"), [(None, "FINISHED"), (ValueError("x"), "FAILED")])
def test_mlflow(error: BaseException | None, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    address = f"file://{tmp_path / 'runs'}"
    callback = MlflowCallback(address, "tests", run_name="one")
    callback.on_start({"learning_rate": 1e-4, "data": ["x" * 9000]})
    for record in RECORDS:
        callback.on_record(record)
    callback.on_end(error)
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("tests")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == status
    assert run.data.params["learning_rate"] == "0.0001"
    assert run.data.metrics == {
        "train/loss": 0.5, "train/terms/task": 0.4, "train/learning_rate": 1e-4, "evaluation/accuracy": 0.9
    }  # fmt: skip
