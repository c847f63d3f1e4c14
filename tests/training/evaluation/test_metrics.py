"""Metrics against scikit-learn, scipy and seqeval, computed here from the names of labels, not their numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from seqeval import metrics as seqeval
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from sklearn import metrics as sklearn

from distilbert.core.errors import DataError, InputError
from distilbert.data.examples import (
    MULTI,
    REGRESSION,
    SINGLE,
    Answer,
    ChoiceExample,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)  # fmt: skip
from distilbert.tasks.registry import task_spec
from distilbert.training.evaluation.classification_metrics import correlation
from distilbert.training.evaluation.task_metrics import (
    breakdown,
    compute_metrics,
    example_results,
    resampled_metrics,
)

from .task_cases import KINDS, NAMES, case

counts, seeds = st.integers(1, 30), st.integers(0, 10_000)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), counts, seeds)
def test_the_fast_twin_computes_the_same_of_any_resample(kind: str, count: int, seed: int) -> None:
    task, examples, predictions, labels = case(kind, count, seed)
    drawn = np.random.default_rng(seed).integers(0, count, (3, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in drawn]).astype(np.float64)
    weights = np.concatenate([np.ones((1, count)), weights])
    metrics = resampled_metrics(task, examples, predictions, labels)(weights)
    for row, indices in enumerate([np.arange(count), *drawn]):
        plain = compute_metrics(task, [examples[i] for i in indices], [predictions[i] for i in indices], labels)
        for name, value in plain.items():
            if name in metrics:  # the split by answerability is that of the whole data, not of the resample
                assert metrics[name][row] == pytest.approx(value, abs=1e-6), name
        assert row or metrics.keys() == plain.keys()


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), seeds)
def test_classification_equals_scikit_learn(count: int, seed: int) -> None:
    task, examples, predictions, labels = case("single", count, seed)
    metrics = compute_metrics(task, examples, predictions, labels)
    true = [e.label for e in examples if isinstance(e, TextExample)]
    predicted = [NAMES[int(scores.argmax())] for scores in predictions]
    assert metrics["accuracy"] == sklearn.accuracy_score(true, predicted)
    assert metrics["f1_macro"] == pytest.approx(sklearn.f1_score(true, predicted, average="macro", zero_division=0))
    loss = -np.mean([math.log(max(s[NAMES.index(str(t))], 2.3e-16)) for t, s in zip(true, predictions, strict=True)])
    assert metrics["log_loss"] == pytest.approx(loss, abs=1e-4)
    table = {entry["name"]: entry for entry in breakdown(task, examples, predictions, labels)["classes"]}
    for name in NAMES:
        expected = sklearn.precision_score(true, predicted, labels=[name], average="macro", zero_division=0)
        assert table[name]["precision"] == pytest.approx(expected)
        assert table[name]["support"] == true.count(name)
    confusion = breakdown(task, examples, predictions, labels)["confusion"]
    assert confusion == sklearn.confusion_matrix(true, predicted, labels=list(NAMES)).tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), seeds)
def test_tagging_equals_seqeval(count: int, seed: int) -> None:
    task, examples, predictions, labels = case("tags", count, seed)
    metrics = compute_metrics(task, examples, predictions, labels)
    true = [list(e.tags or ()) for e in examples if isinstance(e, TaggedExample)]
    predicted = [list(tags) for tags in predictions]
    assert metrics["f1"] == pytest.approx(seqeval.f1_score(true, predicted, zero_division=0))
    assert metrics["precision"] == pytest.approx(seqeval.precision_score(true, predicted, zero_division=0))
    assert metrics["recall"] == pytest.approx(seqeval.recall_score(true, predicted, zero_division=0))
    assert metrics["token_accuracy"] == pytest.approx(seqeval.accuracy_score(true, predicted))
    types = breakdown(task, examples, predictions, labels)["types"]
    by_type = precision_recall_fscore_support(true, predicted, average=None, zero_division=0)
    assert [entry["f1"] for entry in types] == pytest.approx(list(by_type[2]))
    assert [entry["support"] for entry in types] == list(by_type[3])


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), seeds)
def test_regression_and_sets_equal_scipy_and_scikit_learn(count: int, seed: int) -> None:
    task, examples, predictions, labels = case("regression", count, seed)
    metrics = compute_metrics(task, examples, predictions, labels)
    true, predicted = [float(e.label or 0) for e in examples], [float(p[0]) for p in predictions]  # type: ignore[union-attr,arg-type]
    if len(set(true)) > 1:
        assert metrics["pearson"] == pytest.approx(stats.pearsonr(true, predicted).statistic, abs=1e-5)
        assert metrics["spearman"] == pytest.approx(stats.spearmanr(true, predicted).statistic, abs=1e-5)
    assert metrics["mse"] == pytest.approx(np.mean((np.array(true) - predicted) ** 2), abs=1e-4)
    task, examples, predictions, labels = case("multi", count, seed)
    metrics = compute_metrics(task, examples, predictions, labels)
    expected_sets = np.array([[name in (e.label or ()) for name in NAMES] for e in examples])  # type: ignore[union-attr,operator]
    chosen = np.stack(predictions) >= 0.5
    right = (expected_sets & chosen).sum()
    assert metrics["f1_micro"] == pytest.approx(2 * right / max((expected_sets.sum() + chosen.sum()), 1))
    assert metrics["subset_accuracy"] == np.mean(
        [list(a) == list(b) for a, b in zip(expected_sets, chosen, strict=True)]
    )


@given(counts, seeds, st.floats(0.01, 100))
def test_similarities_equal_scipy_and_have_no_scale(count: int, seed: int, slope: float) -> None:
    task, examples, predictions, labels = case("similarities", count, seed)
    got = compute_metrics(task, examples, predictions, labels)
    expected = np.array([example.label for example in examples if isinstance(example, TextExample)], np.float64)
    cosines = np.concatenate(predictions).astype(np.float64)
    if len(set(expected)) > 1:
        assert got["spearman"] == pytest.approx(stats.spearmanr(expected, cosines).statistic, abs=1e-9)
        assert got["pearson"] == pytest.approx(stats.pearsonr(expected, cosines).statistic, abs=1e-6)
    scaled: list[Any] = [
        replace(example, label=slope * float(score) - 3)  # type: ignore[type-var]
        for example, score in zip(examples, expected, strict=True)
    ]
    assert compute_metrics(task, scaled, predictions, labels) == pytest.approx(got, abs=1e-5)


def test_the_farthest_pair_is_the_one_whose_rank_is_most_wrong() -> None:
    pairs = [TextExample(f"p:{n}", "a", "b", score) for n, score in enumerate([0.0, 1.0, 2.0, 5.0])]
    cosines = [np.array([value], np.float32) for value in (0.1, 0.9, 0.3, 0.4)]
    results, severities = example_results("sentence-similarity", pairs, cosines, Labels(("score",), REGRESSION))
    assert [value for (value,) in severities] == [0.0, 0.5, 0.25, 0.25]
    assert results[1] == {
        "place": "p:1", "text": "a", "text_pair": "b", "expected": 1.0, "got": 0.9, "score": 0.5, "right": None,
    }  # fmt: skip


def test_binary_f1_is_that_of_the_second_label_and_files_may_use_numbers() -> None:
    labels = Labels(("negative", "positive"), SINGLE, ("0", "1"))
    names = ["1", "positive", "0", "negative", "1"]
    examples = [TextExample(f"f:{n}", "x", label=name) for n, name in enumerate(names)]
    scores = [np.array(s, np.float32) for s in ([0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.9, 0.1], [0.6, 0.4])]
    metrics = compute_metrics("text-classification", examples, scores, labels)
    assert metrics["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert metrics["accuracy"] == 0.6
    assert set(metrics) == {"accuracy", "f1_macro", "f1", "matthews", "log_loss"}


def test_tags_with_and_without_a_prefix_are_different_tags_of_the_same_entities() -> None:
    task, labels = "token-classification", Labels(("O", "X", "I-X"))
    sentence = [TaggedExample("a:1", ("v", "w"), ("X", "O"))]
    metrics = compute_metrics(task, sentence, [("I-X", "O")], labels)
    assert (metrics["f1"], metrics["token_accuracy"]) == (1, 0.5)
    resampled = resampled_metrics(task, sentence, [("I-X", "O")], labels)(np.ones((1, 1)))
    assert {name: values.item() for name, values in resampled.items()} == metrics


@pytest.mark.parametrize("count", [3, 6, 7])
def test_the_correlation_with_a_constant_is_zero(count: int) -> None:
    """Also where the mean of equal numbers is another number."""
    same = np.full(count, 0.1)
    for other in (same, np.full(count, 0.7), np.arange(count) * 1.0):
        assert correlation(same, other) == correlation(other, same) == 0


def test_constant_predictions_give_zero_and_no_warning() -> None:
    numbers = [TextExample("a:1", "x", label=1.0), TextExample("a:2", "y", label=2.0)]
    same = [np.array([1.5], np.float32)] * 2
    metrics = compute_metrics("text-classification", numbers, same, Labels(("score",), REGRESSION))
    assert (metrics["pearson"], metrics["spearman"]) == (0.0, 0.0)
    red = [TextExample("a:1", "x", label="red")]
    metrics = compute_metrics(
        "text-classification", red, [np.array([0.2, 0.8], np.float32)], Labels(("red", "blue"), SINGLE)
    )
    assert (metrics["accuracy"], metrics["matthews"], metrics["f1"]) == (0, 0, 0)
    right = compute_metrics(
        "text-classification", red, [np.array([1.0, 0.0], np.float32)], Labels(("red", "blue"), SINGLE)
    )
    assert right["accuracy"] == 1
    tags = [TaggedExample("a:1", ("x",), ("O",))]
    assert compute_metrics("token-classification", tags, [("O",)], Labels(("O",)))["f1"] == 0
    empty = [TextExample("a:1", "x", label=())]
    assert (
        compute_metrics("text-classification", empty, [np.zeros(2, np.float32)], Labels(("a", "b"), MULTI))["f1_micro"]
        == 0
    )


def test_questions_are_split_where_some_have_no_answer() -> None:
    asked = [
        QuestionExample("q:1", "1", "?", "the cat", (Answer("cat", 4), Answer("the cat", 0))),
        QuestionExample("q:2", "2", "?", "a big dog", (Answer("big dog", 2),)),
        QuestionExample("q:3", "3", "?", "nothing", ()),
        QuestionExample("q:4", "4", "?", "nothing", ()),
    ]
    predicted = [{"text": text, "score": 0.5} for text in ("The cat!", "dog", "", "nothing")]
    metrics = compute_metrics("question-answering", asked, predicted, Labels())
    assert metrics == pytest.approx(
        {
            "exact_match": 50, "f1": 100 * (1 + 2 / 3 + 1 + 0) / 4,
            "has_answer_exact_match": 50, "has_answer_f1": 100 * (1 + 2 / 3) / 2,
            "no_answer_exact_match": 50, "no_answer_f1": 50,
        }
    )  # fmt: skip
    assert set(compute_metrics("question-answering", asked[:2], predicted[:2], Labels())) == {"exact_match", "f1"}


def test_choices_and_masks() -> None:
    asked = [ChoiceExample(f"c:{n}", "c", "", ("x", "y"), n) for n in range(2)]
    assert compute_metrics("multiple-choice", asked, [np.array([0.9, 0.1])] * 2, Labels()) == {"accuracy": 0.5}
    texts = [TextExample("t:1", "x"), TextExample("t:2", "y")]
    metrics = compute_metrics("fill-mask", texts, [(-3.0, 1, 2), (-1.0, 1, 2)], Labels())
    assert metrics == pytest.approx({"perplexity": math.e, "accuracy": 0.5})
    assert math.isfinite(compute_metrics("fill-mask", texts[:1], [(-1e9, 0, 1)], Labels())["perplexity"])


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("text-classification", Labels(NAMES, SINGLE), ("accuracy", True)),
        ("text-classification", Labels(NAMES, MULTI), ("f1_micro", True)),
        ("text-classification", Labels(("score",), REGRESSION), ("spearman", True)),
        ("token-classification", Labels(), ("f1", True)),
        ("question-answering", Labels(), ("f1", True)),
        ("multiple-choice", Labels(), ("accuracy", True)),
        ("fill-mask", Labels(), ("perplexity", False)),
    ],
)
def test_the_main_metric(task: str, labels: Labels, expected: tuple[str, bool]) -> None:
    metric = task_spec(task).metric_for(labels.problem)
    assert (metric.name, metric.higher_is_better) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_main_metric_is_among_the_metrics(kind: str) -> None:
    task, examples, predictions, labels = case(kind, 5, 0)
    assert task_spec(task).metric_for(labels.problem).name in compute_metrics(task, examples, predictions, labels)


@pytest.mark.parametrize(
    ("task", "example", "got", "labels", "message"),
    [
        ("text-classification", TextExample("a:7", "x"), np.ones(2), Labels(("p", "q"), SINGLE), "a:7 has no label"),
        ("text-classification", TextExample("a:7", "x", label="r"), 1, Labels(("p", "q"), SINGLE), "a:7: .*'r'"),
        ("token-classification", TaggedExample("a:7", ("x",)), ("O",), Labels(("O",)), "a:7 has no label"),
        ("question-answering", QuestionExample("a:7", "", "", "", (), False), {}, Labels(), "a:7 has no label"),
        ("multiple-choice", ChoiceExample("a:7", "", "", ("x",)), np.ones(1), Labels(), "a:7 has no label"),
        ("multiple-choice", TextExample("a:7", "x"), np.ones(1), Labels(), "a:7 is a TextExample; .* ChoiceExample"),
        ("fill-mask", TextExample("a:7", "x"), (0.0, 0, 0), Labels(), "no token to mask"),
    ],
)  # fmt: skip
def test_examples_that_cannot_be_evaluated(task: str, example: Any, got: Any, labels: Labels, message: str) -> None:
    with pytest.raises(DataError, match=message):
        compute_metrics(task, [example], [got], labels)


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(DataError, match="no examples"):
        compute_metrics("fill-mask", [], [], Labels())
    with pytest.raises(InputError, match="1 examples need as many predictions, got 0"):
        compute_metrics("fill-mask", [TextExample("a:1", "x")], [], Labels())
    broken = [np.array([np.nan, 0.5], np.float32)]
    with pytest.raises(InputError, match="scores for a:1 are not finite"):
        compute_metrics("text-classification", [TextExample("a:1", "x", label="p")], broken, Labels(("p", "q"), SINGLE))
    with pytest.raises(InputError, match="not finite"):
        compute_metrics("fill-mask", [TextExample("a:1", "x")], [(math.nan, 0, 1)], Labels())
    with pytest.raises(InputError, match="Did you mean 'fill-mask'"):
        compute_metrics("fil-mask", [TextExample("a:1", "x")], [1], Labels())
