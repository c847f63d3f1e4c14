"""The lines of docs/scaling.md for Ray Data, Dask and Spark."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest

from distilbert import pipeline
from distilbert.cluster.task_worker import TaskWorker
from tests.behaviour.make_models import make
from tests.cli.helpers import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries
TEXTS = ["a good film", "the worst book", "a film in berlin", "good"] * 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("models"), "labels"))


@pytest.fixture
def worker(model: str) -> TaskWorker:
    return TaskWorker("text-classification", model, threads=1, precision="fp32")


@pytest.fixture(scope="module")
def labels(model: str) -> list[Any]:
    return [answer["label"] for answer in pipeline("text-classification", model, precision="fp32")(TEXTS)]


def test_ray_data(worker: TaskWorker, labels: list[Any]) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(
        num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}},
    )  # fmt: skip
    try:
        rows = ray.data.from_pandas(pandas.DataFrame({"text": TEXTS})).map_batches(worker, batch_format="pandas")
        assert sorted(rows.to_pandas()["label"]) == sorted(labels)
    finally:
        ray.shutdown()


def test_dask(worker: TaskWorker, labels: list[Any]) -> None:
    dataframe = pytest.importorskip("dask.dataframe")
    frame = dataframe.from_pandas(pandas.DataFrame({"text": TEXTS}), npartitions=2)
    meta = {"text": "object", "label": "object", "score": "float64"}
    result = frame.map_partitions(worker, meta=meta).compute(scheduler="sync")
    assert list(result["label"]) == labels


def test_spark(worker: TaskWorker, labels: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("no Java here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.memory", "512m").getOrCreate()
    try:
        frame = session.createDataFrame(pandas.DataFrame({"text": TEXTS})).coalesce(1)
        rows = frame.mapInPandas(worker.map_frames, "text string, label string, score double").toPandas()
        assert list(rows["label"]) == labels
    finally:
        session.stop()
