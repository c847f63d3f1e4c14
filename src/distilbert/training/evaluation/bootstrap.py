"""Intervals by resampling the examples (Efron's percentile bootstrap), and tests of a difference on the same examples.

Legend: R resamples, N examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...core.extras import require
from .weighted import Weighted

LEVEL = 0.95
CHUNK = 4_000_000  # numbers of a block of resamples; bounds the memory


@dataclass(frozen=True)
class Interval:
    """Where ``LEVEL`` of the resamples lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A metric of one model less that of another, on the same examples.

    Attributes:
        value: the difference.
        low: lower end of its interval.
        high: upper end.
        above: share of the resamples in which it is above 0; those at 0 count half.
    """

    value: float
    low: float
    high: float
    above: float


def resamples(examples: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks of (R, N) float64: how often each example is drawn in a resample of N; the seed decides them."""
    generator = np.random.default_rng(seed)
    block = max(1, CHUNK // max(examples, 1))
    for start in range(0, samples, block):
        rows = min(block, samples - start)
        drawn = generator.integers(0, examples, (rows, examples)) + examples * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float64)


def intervals(metric: Weighted, examples: int, samples: int, seed: int) -> dict[str, Interval]:
    """Return the interval of each metric; none where ``samples`` is 0."""
    return {name: Interval(*_ends(values)) for name, values in _values(metric, examples, samples, seed).items()}


def differences(first: Weighted, second: Weighted, examples: int, samples: int, seed: int) -> dict[str, Difference]:
    """Compare two models: the same resamples for both, so that what makes examples hard for both cancels out."""
    once = np.ones((1, examples))
    mine, theirs = first(once), second(once)
    one, other = (_values(metric, examples, samples, seed) for metric in (first, second))
    made = {}
    for name in [name for name in one if name in other]:
        drawn = one[name] - other[name]
        above = float((drawn > 0).mean() + (drawn == 0).mean() / 2)
        made[name] = Difference(float(mine[name][0] - theirs[name][0]), *_ends(drawn), above)
    return made


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """Return the p-value of McNemar's exact test: could both models be right equally often?

    Args:
        first: (N,) bool, where the one is right.
        second: (N,) bool, where the other is.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first + only_second:
        return 1.0
    test = require("scipy.stats", "train").binomtest(only_first, only_first + only_second, 0.5)
    return float(test.pvalue)


def _values(metric: Weighted, examples: int, samples: int, seed: int) -> dict[str, np.ndarray]:
    blocks = [metric(weights) for weights in resamples(examples, samples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}


def _ends(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
