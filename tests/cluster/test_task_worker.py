"""One object for every engine: it is pickled, loads once in a process, and keeps the kind of a batch."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import Any

import pandas
import pyarrow
import pytest

from distilbert import pipeline
from distilbert.cluster.task_worker import TaskWorker
from distilbert.tasks import loading
from tests.behaviour.make_models import make

TEXTS = ["a good film", "the worst book", "a film in berlin"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make(tmp_path_factory.mktemp("models"), "labels"))


@pytest.fixture
def worker(model: str) -> TaskWorker:
    return TaskWorker("text-classification", model, threads=1, precision="fp32")


def expected(model: str) -> list[Any]:
    return list(pipeline("text-classification", model, threads=1, precision="fp32")(TEXTS))


def test_a_pickled_worker_loads_once_in_a_process(worker: TaskWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []
    load = loading.pipeline
    monkeypatch.setattr(loading, "pipeline", lambda *args, **options: loads.append(args) or load(*args, **options))
    worker.options["batch_tokens"] = 77  # loaded by no other test
    for _ in range(3):
        assert len(pickle.loads(pickle.dumps(worker)).answers(TEXTS)) == 3
    assert len(loads) == 1


def test_batches_keep_their_kind(worker: TaskWorker, model: str) -> None:
    labels = [answer["label"] for answer in expected(model)]
    as_dict = worker({"text": TEXTS})
    assert list(as_dict) == ["text", "label", "score"]
    assert list(as_dict["label"]) == labels
    frame = worker(pandas.DataFrame({"text": TEXTS}, index=[7, 8, 9]))
    assert list(frame["label"]) == labels
    assert list(frame.index) == [7, 8, 9]
    table = worker(pyarrow.table({"text": TEXTS}))
    assert table.column("label").to_pylist() == labels
    pieces = [pandas.DataFrame({"text": TEXTS[:1]}), pandas.DataFrame({"text": TEXTS[1:]})]
    frames = list(worker.map_frames(iter(pieces)))
    assert [label for each in frames for label in each["label"]] == labels


def test_datasets_map_takes_it(worker: TaskWorker, model: str) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict({"text": TEXTS}).map(worker, batched=True)
    assert rows["label"][:] == [answer["label"] for answer in expected(model)]


def test_processes_take_it(worker: TaskWorker, model: str) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(worker.answers, [TEXTS]) == [expected(model)]


def test_a_row_without_an_answer(model: str) -> None:
    worker = TaskWorker("text-classification", model, threads=1, precision="fp32", on_error="null")
    assert worker({"text": ["", *TEXTS]})["label"][0] is None
