"""Pipelines in other processes and in caches: pickle, copy, joblib, spawned processes, ``datasets.map``."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import joblib
import pytest
from datasets import Dataset
from datasets.fingerprint import Hasher

from distilbert.tasks.text_classification import UNSET

from .inputs import TASKS, inputs_for

TEXTS = ["I love this movie", "a", "the sea"]
RUNNERS: list[dict[str, Any]] = [{}, {"runner": "pytorch"}, {"use_fast": False}]


@pytest.fixture(params=RUNNERS, ids=str)
def task(request: pytest.FixtureRequest, make_task: Any) -> Any:
    return make_task("text-classification", "labels", **request.param)


def joblib_copy(task: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(task, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize("name", list(TASKS))
@pytest.mark.parametrize(
    "duplicate",
    [lambda task: pickle.loads(pickle.dumps(task)), copy.deepcopy, copy.copy, joblib_copy],
    ids=["pickle", "deepcopy", "copy", "joblib"],
)
def test_copies_answer_the_same(make_task: Any, name: str, duplicate: Any) -> None:
    model, params = TASKS[name]
    task = make_task(name, model, **params)
    inputs = inputs_for(name, 4)
    copied = duplicate(task)
    assert type(copied) is type(task)
    assert copied(inputs) == task(inputs)
    assert copied.params == task.params


def test_runners_can_be_copied(task: Any) -> None:
    for copied in (pickle.loads(pickle.dumps(task)), copy.deepcopy(task)):
        assert copied(TEXTS) == task(TEXTS)
        assert type(copied.runner) is type(task.runner)
        assert copied.model is copied.runner.model
        assert copied.model is not task.model


def test_not_given_stays_not_given() -> None:
    for copied in (pickle.loads(pickle.dumps(UNSET)), copy.copy(UNSET), copy.deepcopy(UNSET)):
        assert copied is UNSET


def test_answers_of_other_processes(task: Any) -> None:
    expected = [task([text])[0] for text in TEXTS]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(task, TEXTS).result(120) == task(TEXTS)
    answers = [answer[0] for answer in joblib.Parallel(n_jobs=2)(joblib.delayed(task)([text]) for text in TEXTS)]
    # joblib gives a worker one thread, and then PyTorch may sum in another order.
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in expected]
    assert [answer["score"] for answer in answers] == pytest.approx([answer["score"] for answer in expected], rel=1e-6)


def test_a_cache_of_datasets_recognizes_the_pipeline(task: Any, make_task: Any) -> None:
    before = Hasher.hash(task)
    answers = task(TEXTS)
    assert list(task(iter([*TEXTS, ""]), on_error="null"))[-1] is None
    assert Hasher.hash(task) == before, "answering changes nothing that counts"
    assert Hasher.hash(make_task("text-classification", "labels")) == Hasher.hash(
        make_task("text-classification", "labels")
    ), "equal pipelines have equal hashes"
    assert Hasher.hash(make_task("text-classification", "labels", top_k=2)) != before
    dataset = Dataset.from_dict({"text": TEXTS})

    def label(batch: dict[str, Any]) -> dict[str, Any]:
        return {"label": [answer["label"] for answer in task(batch["text"])]}

    first, second = dataset.map(label, batched=True), dataset.map(label, batched=True)
    assert list(first["label"]) == [answer["label"] for answer in answers]
    assert first._fingerprint == second._fingerprint
