"""What the file of each task provides for an evaluation, and the helpers that several of these files share.

A task's file turns examples into predictions, and predictions into metrics, metrics of resamples, a breakdown, and a
result for each example. :mod:`.task_metrics` finds the right file.

Legend: R resamples, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ...core.errors import DataError
from ...data.examples import ChoiceExample, Example, Labels, QuestionExample, TaggedExample, TextExample
from ...tasks import Task
from .bootstrap import ResampledMetrics
from .error_entries import ErrorEntry

ExampleKind = TypeVar("ExampleKind", TextExample, TaggedExample, QuestionExample, ChoiceExample)
Metrics = dict[str, float]
ExampleResult = dict[str, Any]  # what was asked, expected and answered, ready for JSON
Severity = tuple[float, ...]  # of an error; the larger, the worse
Predict = Callable[[Sequence[Example], int], list[Any]]  # some of the examples, and the index of the first of them


@dataclass(frozen=True)
class TaskEvaluation:
    """The functions that evaluate a task.

    The arguments of metrics, breakdown and results are examples, their predictions, and the labels of the model.

    Attributes:
        predictor: from a task and all examples to a function that answers some of them.
        metrics: metrics by name, as plain numbers.
        resampled_metrics: the same metrics as a function of how often each example counts; the fast twin of
            ``metrics`` for many resamples.
        breakdown: what a single number hides, as plain values; see :func:`.task_metrics.breakdown`.
        example_results: for each example its result and the severity of its error.
        compared_answers: from a result to the answers in it that two models may agree on; None if answers are numbers.
        count_changes: from the predictions of two runners to how many answers differ, and how many there are; None if
            answers are numbers.
        error_entry: from a result to what the page shows of it.
        error_order: in which order the page lists errors, in words; ``example_results`` decides it by the severities.
    """

    predictor: Callable[[Task[Any], Sequence[Example]], Predict]
    metrics: Callable[[Sequence[Example], Sequence[Any], Labels], Metrics]
    resampled_metrics: Callable[[Sequence[Example], Sequence[Any], Labels], ResampledMetrics]
    breakdown: Callable[[Sequence[Example], Sequence[Any], Labels], dict[str, Any]]
    example_results: Callable[[Sequence[Example], Sequence[Any], Labels], Sequence[tuple[ExampleResult, Severity]]]
    compared_answers: Callable[[ExampleResult], list[Any]] | None
    count_changes: Callable[[Sequence[Any], Sequence[Any]], tuple[int, int]] | None
    error_entry: Callable[[ExampleResult], ErrorEntry]
    error_order: str


def of_kind(examples: Sequence[Example], kind: type[ExampleKind]) -> list[ExampleKind]:
    """Return the examples, all of which must be of one kind.

    Raises:
        DataError: one is of another kind; the message names it.
    """
    for example in examples:
        if not isinstance(example, kind):
            raise DataError(f"{example.place} is a {type(example).__name__}; this task needs a {kind.__name__}.")
    return list(examples)  # type: ignore[arg-type]


def unlabelled(place: str) -> DataError:
    """Return the error for an example without a label."""
    return DataError(f"{place} has no label; only labelled examples can be evaluated.")


def as_floats(metrics: Mapping[str, Any]) -> Metrics:
    """Return metrics as Python's floats."""
    return {name: float(value) for name, value in metrics.items()}


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide two arrays; a division by 0 gives 0."""
    result: np.ndarray = np.divide(
        numerator, denominator, out=np.zeros_like(numerator, np.float64), where=denominator > 0
    )
    return result


def f1_score(correct: np.ndarray, predicted: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return F1 from counts of what is correct, predicted and expected; 0 if there is nothing."""
    return ratio(2 * correct, predicted + expected)


def example_result(expected: Any, got: Any, score: float, right: bool | None, **more: Any) -> ExampleResult:
    """Return a result without the question.

    Args:
        expected: the right answer.
        got: the model's answer.
        score: how good or sure the answer is; the task says what it means.
        right: whether the answer is right; None if it is neither right nor wrong.
        more: further entries.
    """
    return {"expected": expected, "got": got, "score": round(float(score), 6), "right": right} | more


def single_answer(result: ExampleResult) -> list[Any]:
    """Return the answer of a result as its only answer."""
    return [result["got"]]


def count_argmax_changes(first: Sequence[Any], second: Sequence[Any]) -> tuple[int, int]:
    """Count in how many predictions of scores another entry is the largest, of how many."""
    changes = [int(a.argmax()) != int(b.argmax()) for a, b in zip(first, second, strict=True)]
    return sum(changes), len(changes)
