"""Evaluation of multiple-choice: the accuracy of the choice with the largest probability.

Legend: R resamples, N examples, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.examples import ChoiceExample, Example, Labels
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
    count_argmax_changes,
    example_result,
    of_kind,
    single_answer,
    unlabelled,
)


def _predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    def predict(some: Sequence[Example], first: int) -> list[Any]:
        inputs = [
            {"context": example.context, "question": example.question, "choices": list(example.choices)}
            for example in of_kind(some, ChoiceExample)
        ]
        return [np.array(answer["scores"], np.float32) for answer in task(inputs)]  # (C,) each

    return predict


def reference_choices(examples: Sequence[Example]) -> np.ndarray:
    """Return the index of each right choice: (N,) int64."""
    references = []
    for example in of_kind(examples, ChoiceExample):
        if example.label is None:
            raise unlabelled(example.place)
        references.append(example.label)
    return np.array(references, np.int64)


def _right(examples: Sequence[Example], predictions: Sequence[Any]) -> np.ndarray:
    """Return which predictions are right: (N,) bool."""
    predicted = np.array([int(scores.argmax()) for scores in predictions])
    right: np.ndarray = reference_choices(examples) == predicted
    return right


def _metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    return {"accuracy": float(_right(examples, predictions).mean())}


def _resampled_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    right = _right(examples, predictions).astype(np.float64)  # (N,)
    return lambda counts: {"accuracy": counts @ right / counts.sum(axis=1)}


def _breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    return confidence_breakdown(np.array([scores.max() for scores in predictions]), _right(examples, predictions))


def _example_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    references = reference_choices(examples)
    for example, expected, scores in zip(of_kind(examples, ChoiceExample), references, predictions, strict=True):
        predicted = int(scores.argmax())
        result = example_result(
            example.choices[expected], example.choices[predicted], scores[predicted], bool(predicted == expected),
            scores=[round(float(score), 6) for score in scores],
        )  # fmt: skip
        results.append((result, (float(scores[predicted]), -float(scores[expected]))))
    return results


def _error_entry(result: ExampleResult) -> ErrorEntry:
    choices = [f"· {choice}" for choice in result["choices"]]
    return answer_entry(result, [*asked_texts(result, "context", "question"), *choices])


CHOICE_EVALUATION = TaskEvaluation(
    _predictor, _metrics, _resampled_metrics, _breakdown, _example_results,
    compared_answers=single_answer, count_changes=count_argmax_changes,
    error_entry=_error_entry, error_order="the surest first",
)  # fmt: skip
