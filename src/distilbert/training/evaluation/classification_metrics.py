"""Evaluation of text-classification: one label, several labels, or a number for each text.

scikit-learn and scipy compute the metrics. Legend: R resamples, N examples, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.extras import require
from ...data.examples import MULTI, REGRESSION, Example, Labels, TextExample
from ...data.labels import check_labels, target_of
from ...tasks import Task
from .bootstrap import ResampledMetrics
from .calibration import confidence_breakdown
from .error_entries import ErrorEntry, answer_entry, asked_texts
from .task_evaluation import (
    ExampleResult,
    Metrics,
    Predict,
    Severity,
    TaskEvaluation,
    as_floats,
    count_argmax_changes,
    example_result,
    f1_score,
    of_kind,
    ratio,
    single_answer,
    unlabelled,
)

THRESHOLD = 0.5  # a label of a multi-label model counts as predicted from this probability on
MOST_POINTS = 500  # pairs of expected and predicted value that are kept of a regression


def predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    """Return a function that answers with (L,) float32 probabilities in the order of the labels.

    Of a regression it is the number itself.
    """
    config = task.config
    parameters: dict[str, Any] = {"return_all_scores": True}
    if config.num_labels == 1 and config.problem_type is None:  # fine-tuning treats such a model as a regression, too
        parameters["function_to_apply"] = "none"

    def predict(some: Sequence[Example], first: int) -> list[Any]:
        inputs = [
            {"text": example.text} | ({"text_pair": example.text_pair} if example.text_pair else {})
            for example in of_kind(some, TextExample)
        ]
        return [np.array([entry["score"] for entry in scores], np.float32) for scores in task(inputs, **parameters)]

    return predict


def reference_classes(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return the label of each example: (N,) int64."""
    return np.array(_targets(examples, labels), np.int64)


def reference_sets(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return which labels each example has: (N, L) bool."""
    return np.array(_targets(examples, labels)) > 0


def reference_numbers(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return the number of each example: (N,) float64."""
    return np.array(_targets(examples, labels), np.float64)


def _targets(examples: Sequence[Example], labels: Labels) -> list[np.ndarray]:
    check_labels(examples, labels, "the evaluation data")
    targets = []
    for example in of_kind(examples, TextExample):
        target = target_of(example, labels)
        if target is None:
            raise unlabelled(example.place)
        targets.append(target)
    return targets


def _class_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    sklearn = require("sklearn.metrics", "evaluate")
    expected, scores = reference_classes(examples, labels), np.stack(predictions).astype(np.float64)  # (N,), (N, L)
    predicted = scores.argmax(axis=1)  # (N,)
    metrics = {
        "accuracy": sklearn.accuracy_score(expected, predicted),
        "f1_macro": sklearn.f1_score(expected, predicted, average="macro", zero_division=0),
        # With a single label there is no correlation, and scikit-learn warns.
        "matthews": sklearn.matthews_corrcoef(expected, predicted) if np.ptp([*expected, *predicted]) else 0.0,
    }
    if len(labels.names) == 2:
        metrics["f1"] = sklearn.f1_score(expected, predicted, pos_label=1, average="binary", zero_division=0)
    if len(labels.names) > 1:
        metrics["log_loss"] = sklearn.log_loss(
            expected, scores / scores.sum(axis=1, keepdims=True), labels=range(len(labels.names))
        )
    return as_floats(metrics)


def _resampled_class_metrics(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> ResampledMetrics:
    label_count = len(labels.names)
    references, scores = reference_classes(examples, labels), np.stack(predictions).astype(np.float64)  # (N,), (N, L)
    expected, predicted = np.eye(label_count)[references], np.eye(label_count)[scores.argmax(axis=1)]  # (N, L)
    reference_scores = np.take_along_axis(scores / scores.sum(axis=1, keepdims=True), references[:, None], 1)[:, 0]
    loss = -np.log(np.clip(reference_scores, np.finfo(np.float64).eps, 1))  # (N,), clipped as scikit-learn does

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        total = counts.sum(axis=1)
        correct_sums, expected_sums, predicted_sums = (
            counts @ indicator for indicator in (expected * predicted, expected, predicted)
        )  # (R, L)
        f1_by_class = f1_score(correct_sums, predicted_sums, expected_sums)
        # Matthews' coefficient of L classes (Gorodkin 2004), from the same sums.
        covariance = correct_sums.sum(axis=1) * total - (expected_sums * predicted_sums).sum(axis=1)
        spread = (total**2 - (expected_sums**2).sum(axis=1)) * (total**2 - (predicted_sums**2).sum(axis=1))
        metrics = {
            "accuracy": correct_sums.sum(axis=1) / total,
            "f1_macro": ratio(f1_by_class.sum(axis=1), ((expected_sums + predicted_sums) > 0).sum(axis=1)),
            "matthews": ratio(covariance, np.sqrt(spread)),
        }
        if label_count == 2:
            metrics["f1"] = f1_by_class[:, 1]
        if label_count > 1:
            metrics["log_loss"] = counts @ loss / total
        return metrics

    return compute


def _class_breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    expected, scores = reference_classes(examples, labels), np.stack(predictions)  # (N,), (N, L)
    predicted = scores.argmax(axis=1)
    matrix = require("sklearn.metrics", "evaluate").confusion_matrix(
        expected, predicted, labels=range(len(labels.names))
    )  # (L, L)
    return {
        "classes": _per_class_results(expected, predicted, labels),
        "confusion": matrix.tolist(),
        **confidence_breakdown(scores.max(axis=1), expected == predicted),
    }


def _per_class_results(expected: np.ndarray, predicted: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    columns = require("sklearn.metrics", "evaluate").precision_recall_fscore_support(
        expected, predicted, labels=range(len(labels.names)), zero_division=0
    )
    keys = ("precision", "recall", "f1", "support")
    return [
        {"name": name, **{key: column[index].item() for key, column in zip(keys, columns, strict=True)}}
        for index, name in enumerate(labels.names)
    ]


def _class_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for expected, scores in zip(reference_classes(examples, labels), predictions, strict=True):
        predicted = int(scores.argmax())
        result = example_result(
            labels.names[expected], labels.names[predicted], scores[predicted], bool(predicted == expected),
            scores=_named_scores(scores, labels),
        )  # fmt: skip
        results.append((result, (float(scores[predicted]), -float(scores[expected]))))
    return results


def _named_scores(scores: np.ndarray, labels: Labels) -> dict[str, float]:
    return {name: round(float(score), 6) for name, score in zip(labels.names, scores, strict=True)}


def _set_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    sklearn = require("sklearn.metrics", "evaluate")
    expected, predicted = reference_sets(examples, labels), np.stack(predictions) >= THRESHOLD  # (N, L)
    return as_floats(
        {
            "f1_micro": sklearn.f1_score(expected, predicted, average="micro", zero_division=0),
            "f1_macro": sklearn.f1_score(expected, predicted, average="macro", zero_division=0),
            "subset_accuracy": (expected == predicted).all(axis=1).mean(),
        }
    )


def _resampled_set_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    expected, predicted = reference_sets(examples, labels), np.stack(predictions) >= THRESHOLD  # (N, L)
    exact = (expected == predicted).all(axis=1).astype(np.float64)  # (N,)
    indicators = [indicator.astype(np.float64) for indicator in (expected & predicted, predicted, expected)]

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        sums = [counts @ indicator for indicator in indicators]  # (R, L)
        return {
            "f1_micro": f1_score(*(values.sum(axis=1) for values in sums)),
            "f1_macro": f1_score(*sums).mean(axis=1),
            "subset_accuracy": counts @ exact / counts.sum(axis=1),
        }

    return compute


def _set_breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    expected, scores = reference_sets(examples, labels), np.stack(predictions)  # (N, L)
    predicted = scores >= THRESHOLD
    # Each label is a prediction of its own: that the example has it, or that it does not have it.
    confidences = np.maximum(scores, 1 - scores)
    return {
        "classes": _per_class_results(expected, predicted, labels),
        **confidence_breakdown(confidences.ravel(), (expected == predicted).ravel()),
    }


def _set_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for expected, scores in zip(reference_sets(examples, labels), predictions, strict=True):
        predicted = scores >= THRESHOLD
        expected_names, predicted_names = (
            [labels.names[index] for index in np.flatnonzero(indicator)] for indicator in (expected, predicted)
        )
        largest_error = float(np.abs(scores - expected).max())  # of the label that is most wrong
        result = example_result(
            expected_names, predicted_names, 1 - largest_error, bool((predicted == expected).all()),
            scores=_named_scores(scores, labels),
        )  # fmt: skip
        results.append((result, (largest_error,)))
    return results


def _count_set_changes(first: Sequence[Any], second: Sequence[Any]) -> tuple[int, int]:
    changes = [bool(((a >= THRESHOLD) != (b >= THRESHOLD)).any()) for a, b in zip(first, second, strict=True)]
    return sum(changes), len(changes)


def _number_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    sklearn = require("sklearn.metrics", "evaluate")
    expected, predicted = reference_numbers(examples, labels), predicted_numbers(predictions)  # (N,)
    return as_floats(correlations(expected, predicted) | {"mse": sklearn.mean_squared_error(expected, predicted)})


def predicted_numbers(predictions: Sequence[Any]) -> np.ndarray:
    """Return the number that was predicted for each example: (N,) float64."""
    return np.stack(predictions)[:, 0].astype(np.float64)


def correlations(x: np.ndarray, y: np.ndarray) -> Metrics:
    """Return Pearson's and Spearman's correlation of two (N,) arrays."""
    return {"pearson": correlation(x, y), "spearman": correlation(ranks(x), ranks(y))}


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two (N,) arrays; 0 if one of them is constant."""
    if not np.ptp(x) or not np.ptp(y):  # the mean of equal numbers may differ from them in the last digit
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / norm, -1, 1)) if norm > 0 else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each of (N,) values, from 1; equal values share the mean of their ranks."""
    result: np.ndarray = require("scipy.stats", "evaluate").rankdata(values)
    return result


def _resampled_number_metrics(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> ResampledMetrics:
    squared_errors = (reference_numbers(examples, labels) - predicted_numbers(predictions)) ** 2  # (N,)
    resampled = resampled_correlations(examples, predictions, labels)

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        return resampled(counts) | {"mse": counts @ squared_errors / counts.sum(axis=1)}

    return compute


def resampled_correlations(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    """Return Pearson's and Spearman's correlation as a function of how often each example counts."""
    expected, predicted = reference_numbers(examples, labels), predicted_numbers(predictions)  # (N,)

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        # Ranks are not a function of sums, so each resample is made.
        resamples = (np.repeat(np.arange(len(row)), row.astype(np.int64)) for row in counts)
        rows = [correlations(expected[indices], predicted[indices]) for indices in resamples]
        return {name: np.array([row[name] for row in rows]) for name in ("pearson", "spearman")}

    return compute


def _number_breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    return {"points": number_pairs(examples, predictions, labels)}


def number_pairs(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> list[list[float]]:
    """Return pairs of expected and predicted number, up to ``MOST_POINTS``, spread over all examples."""
    points = np.stack([reference_numbers(examples, labels), np.stack(predictions)[:, 0]], axis=1)  # (N, 2)
    indices = np.linspace(0, len(points) - 1, min(MOST_POINTS, len(points))).astype(np.int64)
    chosen: list[list[float]] = points[indices].tolist()
    return chosen


def _number_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for expected, predicted in zip(reference_numbers(examples, labels), predictions, strict=True):
        error = abs(float(predicted[0]) - float(expected))
        result = example_result(round(float(expected), 6), round(float(predicted[0]), 6), error, None)
        results.append((result, (error,)))
    return results


def _error_entry(result: ExampleResult) -> ErrorEntry:
    return answer_entry(result, asked_texts(result, "text", "text_pair"))


def _difference_entry(result: ExampleResult) -> ErrorEntry:
    return answer_entry(result, asked_texts(result, "text", "text_pair"), score_name="difference")


SINGLE_LABEL_EVALUATION = TaskEvaluation(
    predictor, _class_metrics, _resampled_class_metrics, _class_breakdown, _class_results,
    compared_answers=single_answer, count_changes=count_argmax_changes,
    error_entry=_error_entry, error_order="the surest first",
)  # fmt: skip
MULTI_LABEL_EVALUATION = TaskEvaluation(
    predictor, _set_metrics, _resampled_set_metrics, _set_breakdown, _set_results,
    compared_answers=single_answer, count_changes=_count_set_changes,
    error_entry=_error_entry, error_order="the surest first",
)  # fmt: skip
REGRESSION_EVALUATION = TaskEvaluation(
    predictor, _number_metrics, _resampled_number_metrics, _number_breakdown, _number_results,
    compared_answers=None, count_changes=None,
    error_entry=_difference_entry, error_order="the largest difference first",
)  # fmt: skip


def classification_evaluation(problem: str) -> TaskEvaluation:
    """Return how models of a ``problem_type`` are evaluated."""
    return {MULTI: MULTI_LABEL_EVALUATION, REGRESSION: REGRESSION_EVALUATION}.get(problem, SINGLE_LABEL_EVALUATION)
