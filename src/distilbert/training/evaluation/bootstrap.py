"""Confidence intervals by resampling the examples, and tests of a difference on the same examples.

The intervals are those of Efron's percentile bootstrap. A resample is described by how often each example is drawn, so
that metrics of all resamples can be computed at once. Legend: R resamples, N examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...core.extras import require

LEVEL = 0.95
CHUNK = 4_000_000  # counts in a block of resamples; bounds the memory

ResampledMetrics = Callable[[np.ndarray], dict[str, np.ndarray]]  # (R, N) float64 counts -> (R,) of each metric


@dataclass(frozen=True)
class Interval:
    """The range that holds ``LEVEL`` of the resamples."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A metric of the first model less that of the second, on the same examples.

    Attributes:
        value: the difference.
        low: lower end of its interval.
        high: upper end.
        above: share of the resamples in which it is above 0; those in which it is 0 count half.
    """

    value: float
    low: float
    high: float
    above: float


def draw_resamples(examples: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of (R, N) float64: how often each example is drawn into a resample of N.

    Args:
        examples: number of examples (N).
        samples: number of resamples in all blocks together.
        seed: decides what is drawn.
    """
    generator = np.random.default_rng(seed)
    block = max(1, CHUNK // max(examples, 1))
    for start in range(0, samples, block):
        rows = min(block, samples - start)
        drawn = generator.integers(0, examples, (rows, examples)) + examples * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float64)


def bootstrap_intervals(metrics: ResampledMetrics, examples: int, samples: int, seed: int) -> dict[str, Interval]:
    """Return the interval of each metric; none if ``samples`` is 0."""
    resampled = _resample(metrics, examples, samples, seed)
    return {name: Interval(*_interval_ends(values)) for name, values in resampled.items()}


def paired_differences(
    first: ResampledMetrics, second: ResampledMetrics, examples: int, samples: int, seed: int
) -> dict[str, Difference]:
    """Compare two models on the same resamples, so that what makes an example hard for both cancels out."""
    all_once = np.ones((1, examples))
    first_values, second_values = first(all_once), second(all_once)
    first_resampled, second_resampled = (_resample(metrics, examples, samples, seed) for metrics in (first, second))
    differences = {}
    for name in [name for name in first_resampled if name in second_resampled]:
        resampled = first_resampled[name] - second_resampled[name]
        above = float((resampled > 0).mean() + (resampled == 0).mean() / 2)
        value = float(first_values[name][0] - second_values[name][0])
        differences[name] = Difference(value, *_interval_ends(resampled), above)
    return differences


def mcnemar_p_value(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of McNemar's exact test of whether both models are right equally often.

    Args:
        first: (N,) bool, whether the first model is right.
        second: (N,) bool, whether the second model is right.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    test = require("scipy.stats", "evaluate").binomtest(only_first, only_first + only_second, 0.5)
    return float(test.pvalue)


def _resample(metrics: ResampledMetrics, examples: int, samples: int, seed: int) -> dict[str, np.ndarray]:
    blocks = [metrics(counts) for counts in draw_resamples(examples, samples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}


def _interval_ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
