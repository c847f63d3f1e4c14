"""Evaluation of sentence-similarity: cosines of pairs against the scores of people, whatever scale these have.

Correlations judge them, as for STS-B (arXiv 1708.00055). Legend: R resamples, N pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.examples import Example, Labels, TextExample
from ...tasks import Task
from .classification_metrics import (
    correlations,
    number_pairs,
    predicted_numbers,
    ranks,
    reference_numbers,
    resampled_correlations,
)
from .error_entries import ErrorEntry, answer_entry, asked_texts
from .task_evaluation import ExampleResult, Metrics, Predict, Severity, TaskEvaluation, example_result, of_kind


def _predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    """Return a function that answers with (1,) float32: the cosine of a pair."""

    def predict(some: Sequence[Example], first: int) -> list[Any]:
        pairs = [(example.text, example.text_pair) for example in of_kind(some, TextExample)]
        return [np.array([cosine], np.float32) for cosine in task(pairs)]

    return predict


def _metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    return correlations(reference_numbers(examples, labels), predicted_numbers(predictions))


def _breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    return {"cosines": number_pairs(examples, predictions, labels)}


def _results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    """Scales differ, so the error of a pair is how far its rank is from the right one, as a share of all pairs."""
    expected, cosines = reference_numbers(examples, labels), predicted_numbers(predictions)  # (N,)
    errors = np.abs(ranks(cosines) - ranks(expected)) / len(examples)  # (N,)
    return [
        (example_result(round(float(right), 6), round(float(cosine), 6), error, None), (float(error),))
        for right, cosine, error in zip(expected, cosines, errors, strict=True)
    ]


def _error_entry(result: ExampleResult) -> ErrorEntry:
    return answer_entry(result, asked_texts(result, "text", "text_pair"), score_name="difference of ranks")


SIMILARITY_EVALUATION = TaskEvaluation(
    _predictor, _metrics, resampled_correlations, _breakdown, _results,
    compared_answers=None, count_changes=None,
    error_entry=_error_entry, error_order="the largest difference of ranks first",
)  # fmt: skip
