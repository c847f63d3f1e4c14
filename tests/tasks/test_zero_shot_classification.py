"""Zero-shot classification: labels, templates, and models that do not know entailment."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from distilbert import pipeline
from distilbert.core.errors import InputError

LABELS = ["sport", "politics", "music"]


@pytest.fixture(scope="module")
def task(make_task: Any) -> Any:
    return make_task("zero-shot-classification", "nli")


def test_labels(task: Any, make_task: Any) -> None:
    answer = task("the film", LABELS)
    assert answer["sequence"] == "the film"
    assert sorted(answer["labels"]) == sorted(LABELS)
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert sum(answer["scores"]) == pytest.approx(1)
    assert task("the film", candidate_labels="sport,politics, music") == answer
    assert make_task("zero-shot-classification", "nli", candidate_labels=LABELS)("the film") == answer
    assert task("the film", LABELS, multi_label=True)["scores"] != answer["scores"]


def test_all_pairs_are_one_batch(task: Any, make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Spy:
        head, config = task.runner.head, task.runner.config

        def __call__(self, batch: Any) -> Any:
            sizes.append(len(batch.lengths))
            return task.runner(batch)

    monkeypatch.setattr(other := make_task("zero-shot-classification", "nli"), "runner", Spy())
    other(["the film", "the sea"], LABELS)
    assert sizes == [6]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "needs candidate_labels"),
        ({"candidate_labels": []}, "candidate_labels must be a list of one or more texts"),
        ({"candidate_labels": " , "}, "candidate_labels must be a list of one or more texts"),
        ({"candidate_labels": ["a", 3]}, r"candidate_labels\[1\] must be a str, got 3"),
        ({"candidate_labels": ["a"], "hypothesis_template": "no place"}, r"must hold \{\} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{name}"}, r"must hold \{\} once"),
        ({"candidate_labels": ["a"], "hypothesis_template": "about {{}}."}, "the same sentence for every label"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{{{{}}}}"}, "the same sentence for every label"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{{label}} {{0}}"}, "the same sentence for every label"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{:.0}"}, "the same sentence for every label"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{} or {}"}, "once, where the label goes"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{0.name}"}, "once, where the label goes"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{:d}"}, "once, where the label goes"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{"}, "once, where the label goes"),
    ],
)
def test_messages(task: Any, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task("x", **params)


def test_templates_that_hold_the_label(task: Any) -> None:
    expected = task("the film", LABELS, hypothesis_template="It is {}.")
    for template in ("It is {0}.", "It is {!s}.", "It is {:s}."):
        assert task("the film", LABELS, hypothesis_template=template) == expected
    assert task("the film", LABELS, hypothesis_template="{{}} {}")["labels"]


def test_model_without_entailment(make_task: Any) -> None:
    with pytest.raises(InputError, match="needs a model with a label 'entailment'; this one has .*'anger'"):
        make_task("zero-shot-classification", "labels")


def test_a_model_of_sentences_compares_vectors(make_task: Any, model_folder: Any) -> None:
    task = make_task("zero-shot-classification", "encoder")
    vectors = pipeline("feature-extraction", model_folder("encoder"), precision="fp32")
    text, *labels = (
        np.asarray(vector) / np.linalg.norm(vector) for vector in vectors(["the film", *LABELS], pooling="mean")
    )
    cosines = np.stack(labels) @ text
    for shown in (
        task("the film", LABELS),
        pipeline("zero-shot-classification", model_folder("encoder"))("the film", LABELS),
    ):
        assert shown["labels"] == [LABELS[index] for index in (-cosines).argsort()]
        expected = np.exp(cosines * 20) / np.exp(cosines * 20).sum()
        np.testing.assert_allclose(shown["scores"], np.sort(expected)[::-1], atol=2e-2)
        assert sum(shown["scores"]) == pytest.approx(1)
    several = task("the film", LABELS, multi_label=True)
    np.testing.assert_allclose(several["scores"], np.clip(np.sort(cosines)[::-1], 0, 1), atol=1e-3)
    other = task("the film", LABELS, hypothesis_template="This is {}.")
    assert other["scores"] != task("the film", LABELS)["scores"]


def test_labels_are_encoded_once(make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("zero-shot-classification", "encoder")
    sequences = 0

    class Spy:
        head, config = task.runner.head, task.runner.config

        def __call__(self, batch: Any) -> Any:
            nonlocal sequences
            sequences += len(batch.lengths)
            return runner(batch)

    runner = task.runner
    monkeypatch.setattr(task, "runner", Spy())
    task(["the film", "the sea"], LABELS)
    assert sequences == 2 + len(LABELS)
    task("the sea and the film", LABELS)
    assert sequences == 3 + len(LABELS)
    task("the sea and the film", LABELS, hypothesis_template="about {}")
    assert sequences == 4 + 2 * len(LABELS)


@pytest.mark.parametrize("runner", ["engine", "pytorch"])
def test_labels_are_those_of_the_model_as_it_is_now(make_task: Any, runner: str) -> None:
    torch = pytest.importorskip("torch")
    task = make_task("zero-shot-classification", "encoder", runner=runner)
    before = task("the film", LABELS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    after = task("the film", LABELS)
    fresh = pipeline("zero-shot-classification", task.model, tokenizer=task.tokenizer, runner=runner, precision="fp32")
    assert after["scores"] != before["scores"]
    assert after["labels"] == fresh("the film", LABELS)["labels"]
    assert after["scores"] == pytest.approx(fresh("the film", LABELS)["scores"], abs=1e-6)
    assert pickle.loads(pickle.dumps(task))("the film", LABELS)["labels"] == after["labels"]


def test_the_longest_length_counts_for_labels(make_task: Any) -> None:
    task, other = (make_task("zero-shot-classification", "encoder") for _ in range(2))
    labels = ["sport and the sea and the city", "politics"]
    task("the film", labels)
    assert task("the film", labels, max_length=4) == other("the film", labels, max_length=4)
