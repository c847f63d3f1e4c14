"""Two models on the same examples: differences and whether they are chance, agreement, size and speed.

Legend: N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bootstrap import Difference, ResampledMetrics, mcnemar_p_value, paired_differences
from .task_evaluation import ExampleResult


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models.

    Attributes:
        metrics: its metrics as a function of resamples.
        results: its results, one for each example.
        facts: ``parameters`` and ``bytes``, as far as known.
        speed: ``p50_ms`` and ``examples_per_second``; empty if they were not measured.
    """

    metrics: ResampledMetrics
    results: Sequence[ExampleResult]
    facts: Mapping[str, Any]
    speed: Mapping[str, Any]


@dataclass(frozen=True)
class ModelComparison:
    """The first model against the second.

    Attributes:
        differences: of each metric, first less second.
        agreement: share of the examples (for tagging: of the words) that both answer alike; None if answers are
            numbers.
        right: how many examples ``both``, ``only_first``, ``only_second`` and ``neither`` of them answer rightly;
            empty if answers are neither right nor wrong.
        p_value: of McNemar's exact test on these counts; None without them.
        ratios: first by second: ``parameters``, ``bytes``, ``speed`` (examples a second) and ``latency`` (median).
    """

    differences: dict[str, Difference]
    agreement: float | None
    right: dict[str, int]
    p_value: float | None
    ratios: dict[str, float]


def compare_models(
    first: ComparedModel,
    second: ComparedModel,
    compared_answers: Callable[[ExampleResult], list[Any]] | None,
    *,
    samples: int = 1000,
    seed: int = 0,
) -> ModelComparison:
    """Compare two models that answered the same examples.

    Args:
        first: the model in question.
        second: the model that it is compared with.
        compared_answers: of their task; see :class:`.task_evaluation.TaskEvaluation`.
        samples: bootstrap resamples, the same ones for both; 0 for no differences.
        seed: decides the resamples.
    """
    first_right, second_right = answered_rightly(first.results), answered_rightly(second.results)
    counts, p_value = {}, None
    if first_right is not None and second_right is not None:
        counts = {
            "both": int((first_right & second_right).sum()),
            "only_first": int((first_right & ~second_right).sum()),
            "only_second": int((~first_right & second_right).sum()),
            "neither": int((~first_right & ~second_right).sum()),
        }
        p_value = mcnemar_p_value(first_right, second_right)
    pairs = {
        "parameters": (first.facts.get("parameters"), second.facts.get("parameters")),
        "bytes": (first.facts.get("bytes"), second.facts.get("bytes")),
        "speed": (first.speed.get("examples_per_second"), second.speed.get("examples_per_second")),
        "latency": (first.speed.get("p50_ms"), second.speed.get("p50_ms")),
    }
    return ModelComparison(
        paired_differences(first.metrics, second.metrics, len(first.results), samples, seed),
        agreement(first.results, second.results, compared_answers),
        counts,
        p_value,
        {name: value / base for name, (value, base) in pairs.items() if value and base},
    )


def answered_rightly(results: Sequence[ExampleResult]) -> np.ndarray | None:
    """Return which answers are right, (N,) bool; None if answers are neither right nor wrong."""
    if any(result["right"] is None for result in results):
        return None
    return np.array([result["right"] for result in results], bool)


def agreement(
    first: Sequence[ExampleResult],
    second: Sequence[ExampleResult],
    compared_answers: Callable[[ExampleResult], list[Any]] | None,
) -> float | None:
    """Return the share of answers that are the same; None if answers are numbers, or if there are none."""
    if compared_answers is None:
        return None
    same = [
        answer == other
        for result, other_result in zip(first, second, strict=True)
        for answer, other in zip(compared_answers(result), compared_answers(other_result), strict=True)
    ]
    return float(np.mean(same)) if same else None
