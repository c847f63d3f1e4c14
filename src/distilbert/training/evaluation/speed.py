"""How fast models answer on this machine: one request at a time, and many at once; several models in turn."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.examples import Example
from ...tasks import Task
from .predictions import predict
from .scoring import Recorder

REQUESTS = 100
WARM_UP = 3
SECONDS = 2.0  # that a round of throughput should take, at most
FEWEST, MOST = 8, 512  # examples of such a round


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        requests: single requests that the percentiles are of.
        p50_ms: milliseconds that half of them stay below.
        p90_ms: milliseconds that nine tenths stay below.
        p99_ms: milliseconds that all but one in a hundred stay below.
        examples: examples answered together.
        examples_per_second: how many of them a second, in the fastest round.
        tokens_per_second: the same in tokens, special tokens included.
    """

    requests: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    examples: int
    examples_per_second: float
    tokens_per_second: float


def speeds(tasks: Mapping[str, Task[Any]], examples: Sequence[Example], rounds: int = 3) -> dict[str, Speed]:
    """Measure tasks in turn, so that what else the machine does meets them alike.

    Args:
        tasks: by name.
        examples: at least one; single requests are of the first ``REQUESTS`` of them.
        rounds: of throughput; the fastest one counts.
    """
    asked = examples[:REQUESTS]
    for task in tasks.values():
        predict(task, asked[:WARM_UP])
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for example in asked:
        for name, task in tasks.items():
            taken[name].append(_seconds(task, [example]))
    slowest = max(float(np.median(times)) for times in taken.values())
    batch = examples[: int(np.clip(SECONDS / max(slowest, 1e-6), FEWEST, MOST))]
    best, tokens = dict.fromkeys(tasks, float("inf")), dict.fromkeys(tasks, 0)
    for _ in range(rounds):
        for name, task in tasks.items():
            counted = copy.copy(task)
            counted.runner = recorder = Recorder(task.runner)
            best[name] = min(best[name], _seconds(counted, batch))
            tokens[name] = sum(len(each.input_ids) for each in recorder.batches)
    return {name: _speed(taken[name], len(batch), tokens[name], best[name]) for name in tasks}


def _seconds(task: Task[Any], examples: Sequence[Example]) -> float:
    start = time.perf_counter()
    predict(task, examples)
    return max(time.perf_counter() - start, 1e-9)


def _speed(requests: list[float], examples: int, tokens: int, seconds: float) -> Speed:
    p50, p90, p99 = (round(1000 * float(part), 3) for part in np.quantile(requests, [0.5, 0.9, 0.99]))
    return Speed(len(requests), p50, p90, p99, examples, round(examples / seconds, 1), round(tokens / seconds, 1))
