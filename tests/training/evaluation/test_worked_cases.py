"""Entities, SQuAD's definition, calibration, bootstrap and McNemar's test, each against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.data.examples import (
    REGRESSION,
    SINGLE,
    Answer,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from distilbert.training.evaluation.answer_metrics import ANSWER_EVALUATION, match_answer, normalize_answer, word_f1
from distilbert.training.evaluation.bootstrap import (
    ResampledMetrics,
    bootstrap_intervals,
    draw_resamples,
    mcnemar_p_value,
    paired_differences,
)
from distilbert.training.evaluation.calibration import calibration, score_histogram
from distilbert.training.evaluation.classification_metrics import REGRESSION_EVALUATION, SINGLE_LABEL_EVALUATION
from distilbert.training.evaluation.model_comparison import ComparedModel, agreement, answered_rightly, compare_models
from distilbert.training.evaluation.tagging_metrics import (
    TAGGING_EVALUATION,
    EntityCounts,
    count_entities,
    find_entities,
    with_prefix,
)
from distilbert.training.evaluation.task_metrics import example_results, resampled_metrics, worst_results

from .task_cases import KINDS, case


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}),
        ("O I-PER I-LOC", {("PER", 1, 1), ("LOC", 2, 2)}),
        ("PER PER O LOC", {("PER", 0, 1), ("LOC", 3, 3)}),  # tags without a prefix count as I-
        ("Singer O Event", {("Singer", 0, 0), ("Event", 2, 2)}),  # the first letter is no prefix
        ("B-PER E-PER S-LOC S-LOC", {("PER", 0, 1), ("LOC", 2, 2), ("LOC", 3, 3)}),
        ("B-PER I-PER L-PER U-PER", {("PER", 0, 2), ("PER", 3, 3)}),
        ("B-creative-work I-creative-work", {("creative-work", 0, 1)}),
        ("O O", set()),
    ],
)
def test_entities_by_hand(tags: str, entities: set[tuple[str, int, int]]) -> None:
    assert find_entities(tags.split()) == entities


def test_counts_by_type() -> None:
    result = count_entities(["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "O", "O", "B-LOC"])
    assert result == {"LOC": EntityCounts(1, 1, 1), "PER": EntityCounts(0, 1, 1)}
    assert sum(result.values(), EntityCounts()).f1 == 0.5
    assert (EntityCounts().precision, EntityCounts().recall, EntityCounts().f1) == (0, 0, 0)
    assert [with_prefix(tag) for tag in ("O", "B", "PER", "U-PER")] == ["O", "I-B", "I-PER", "S-PER"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat.", "cat"), ("an apple a day", "apple day"), ("theatre", "theatre"), ("U.S.A.", "usa"),
        ("(the)", ""), ("well-known", "wellknown"), ("A\tb\nc", "b c"), ("an-other", "another"), ("É", "é"), ("", ""),
    ],
)  # fmt: skip
def test_normalisation_of_squad(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("got", "answers", "exact", "f1"),
    [
        ("the Normans", ["Normans"], 1, 1),
        ("in 1066", ["1066", "the year 1066"], 0, 2 / 3),
        ("big big dog", ["big dog dog"], 0, 2 / 3),  # bags of words: one big and one dog are shared
        ("cat", ["dog"], 0, 0),
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", ["a"], 1, 1),  # nothing is left of the answer: as if there were none
        ("cat", ["the", "cat"], 1, 1),
        ("", ["the", "cat"], 0, 0),
    ],
)
def test_matches_of_squad(got: str, answers: list[str], exact: float, f1: float) -> None:
    result = match_answer(got, answers)
    assert (result.exact, result.f1) == (exact, pytest.approx(f1))


@given(st.text("ab .,", max_size=12), st.text("ab .,", max_size=12))
def test_word_f1_is_symmetric_and_1_exactly_for_equal_bags(first: str, second: str) -> None:
    value = word_f1(first, second)
    assert value == word_f1(second, first)
    assert 0 <= value <= 1
    assert (value == 1) == (sorted(normalize_answer(first).split()) == sorted(normalize_answer(second).split()))


def test_calibration_by_hand() -> None:
    result = calibration(np.array([0.95, 0.95, 0.55, 0.55, 0.0, 1.0]), np.array([1, 0, 1, 1, 0, 1]), bins=10)
    assert [entry.count for entry in result.bins] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 3]
    last = result.bins[-1]
    assert (last.low, last.high, last.confidence, last.accuracy) == (
        0.9,
        1.0,
        pytest.approx(2.9 / 3),
        pytest.approx(2 / 3),
    )
    assert result.bins[1].confidence is None
    assert result.error == pytest.approx((3 * (2.9 / 3 - 2 / 3) + 2 * 0.45 + 0) / 6)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_counts_everything_once(pairs: list[tuple[float, bool]]) -> None:
    sure, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    result = calibration(sure, right)
    assert sum(entry.count for entry in result.bins) == len(pairs)
    assert 0 <= result.error <= 1
    assert abs(right.mean() - sure.mean()) <= result.error + 1e-9
    counted = score_histogram(sure, right)
    assert (sum(counted["right"]), sum(counted["wrong"])) == (right.sum(), (~right).sum())


def accuracy(right: list[float]) -> ResampledMetrics:
    return lambda weights: {"accuracy": weights @ np.array(right) / weights.sum(axis=1)}


def test_resamples_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = np.concatenate(list(draw_resamples(7, 30, 3)))
    assert first.shape == (30, 7)
    assert (first.sum(axis=1) == 7).all()
    assert (np.concatenate(list(draw_resamples(7, 30, 3))) == first).all()
    assert (np.concatenate(list(draw_resamples(7, 30, 4))) != first).any()
    monkeypatch.setattr("distilbert.training.evaluation.bootstrap.CHUNK", 14)
    blocks = list(draw_resamples(7, 30, 3))
    assert {len(block) for block in blocks} == {2}
    assert (np.concatenate(blocks) == first).all()


def test_intervals_are_those_of_the_binomial_distribution() -> None:
    result = bootstrap_intervals(accuracy([1.0] * 60 + [0.0] * 40), 100, 4000, 0)["accuracy"]
    spread = 1.96 * math.sqrt(0.6 * 0.4 / 100)
    assert result.low == pytest.approx(0.6 - spread, abs=0.015)
    assert result.high == pytest.approx(0.6 + spread, abs=0.015)
    assert bootstrap_intervals(accuracy([1.0]), 1, 0, 0) == {}


def test_differences_are_paired() -> None:
    right = [float(n % 2) for n in range(40)]
    same = paired_differences(accuracy(right), accuracy(right), 40, 200, 0)["accuracy"]
    assert (same.value, same.low, same.high, same.above) == (0, 0, 0, 0.5)
    better = [1.0] * 10 + right[10:]
    result = paired_differences(accuracy(better), accuracy(right), 40, 500, 0)["accuracy"]
    assert result.value == pytest.approx(5 / 40)
    assert 0 < result.low < 5 / 40 < result.high
    assert result.above > 0.98


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 8 + [False] * 1 + [True] * 5)
    second = np.array([False] * 8 + [True] * 1 + [True] * 5)
    assert mcnemar_p_value(first, second) == pytest.approx(2 * (1 + 9) / 2**9)
    assert mcnemar_p_value(first, first) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_results_agree_with_the_metrics(kind: str) -> None:
    task, examples, predictions, labels = case(kind, 30, 1)
    results, severities = example_results(task, examples, predictions, labels)
    right = answered_rightly(results)
    assert (right is None) == (kind in ("regression", "similarities", "masks"))
    named = {"single": "accuracy", "binary": "accuracy", "multi": "subset_accuracy", "choices": "accuracy"}
    result = resampled_metrics(task, examples, predictions, labels)(np.ones((1, 30)))
    if kind in named:
        assert right is not None
        assert right.mean() == pytest.approx(result[named[kind]][0])
    worst = worst_results(results, severities, 5)
    assert len(worst) == 5
    assert not any(result["right"] for result in worst)
    order = [severities[results.index(result)] for result in worst]
    assert order == sorted(order, reverse=True)
    assert worst_results(results, severities, 0) == []


def test_the_worst_are_the_surest_and_the_farthest() -> None:
    scores = [[0.6, 0.4], [0.1, 0.9], [0.95, 0.05], [0.3, 0.7]]
    texts = [TextExample(f"a:{n}", "x", label="p" if n != 2 else "q") for n in range(4)]
    results = example_results(
        "text-classification", texts, [np.array(s, np.float32) for s in scores], Labels(("p", "q"), SINGLE)
    )
    assert [result["place"] for result in worst_results(*results, 9)] == ["a:2", "a:1", "a:3"]
    numbers = [TextExample(f"a:{n}", "x", label=3.0) for n in range(3)]
    got = [np.array([value], np.float32) for value in (4.0, 0.5, 3.5)]
    results = example_results("text-classification", numbers, got, Labels(("score",), REGRESSION))
    assert [result["place"] for result in worst_results(*results, 9)] == ["a:1", "a:0", "a:2"]
    asked = [QuestionExample(f"a:{n}", str(n), "?", "c", (Answer("big dog", 0),)) for n in range(4)]
    answers = [("dog", 0.9), ("cat", 0.1), ("cat", 0.8), ("big dog", 1.0)]
    results = example_results("question-answering", asked, [{"text": t, "score": p} for t, p in answers], Labels())
    assert [result["place"] for result in worst_results(*results, 9)] == ["a:2", "a:1", "a:0"]
    tagged = [TaggedExample(f"a:{n}", ("x", "y"), ("B-P", "O")) for n in range(3)]
    results = example_results(
        "token-classification", tagged, [("B-P", "O"), ("O", "O"), ("O", "B-P")], Labels(("O", "B-P"))
    )
    assert [result["place"] for result in worst_results(*results, 9)] == ["a:2", "a:1"]


def test_comparing_a_model_with_itself() -> None:
    task, examples, predictions, labels = case("single", 30, 1)
    results, _ = example_results(task, examples, predictions, labels)
    metrics = resampled_metrics(task, examples, predictions, labels)
    fast = ComparedModel(
        metrics, results, {"parameters": 50, "bytes": 200}, {"examples_per_second": 30.0, "p50_ms": 2.0}
    )
    slow = ComparedModel(
        metrics, results, {"parameters": 100, "bytes": 400}, {"examples_per_second": 10.0, "p50_ms": 4.0}
    )
    result = compare_models(fast, slow, SINGLE_LABEL_EVALUATION.compared_answers, samples=50)
    assert result.ratios == {"parameters": 0.5, "bytes": 0.5, "speed": 3.0, "latency": 0.5}
    assert (result.agreement, result.p_value) == (1.0, 1.0)
    assert result.right["only_first"] == result.right["only_second"] == 0
    assert result.right["both"] + result.right["neither"] == 30
    assert all(entry.value == entry.low == entry.high == 0 for entry in result.differences.values())


def test_agreement_counts_words_of_sentences_and_words_of_answers() -> None:
    first, second = ({"words": ["x", "y"], "got": tags, "right": False} for tags in (["O", "O"], ["O", "B"]))
    assert agreement([first], [second], TAGGING_EVALUATION.compared_answers) == 0.5
    entry, other = ({"key": "1", "got": text, "right": True} for text in ("The cat", "cat."))
    assert agreement([entry], [other], ANSWER_EVALUATION.compared_answers) == 1
    assert agreement([{"got": 1.0}], [{"got": 1.0}], REGRESSION_EVALUATION.compared_answers) is None
