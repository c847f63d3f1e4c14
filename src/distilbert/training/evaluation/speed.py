"""Latency and throughput of models on this machine, from text to answer; several models are measured in turn."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.examples import Example
from ...tasks import Task
from .recording_runner import RecordingRunner
from .task_metrics import predict

REQUESTS = 100  # single requests, at most
WARM_UP = 3
ROUND_SECONDS = 2.0  # that a round of throughput should take, at most
FEWEST_EXAMPLES, MOST_EXAMPLES = 8, 512  # in a round


@dataclass(frozen=True)
class Speed:
    """Latency of single requests and throughput of many.

    Attributes:
        requests: number of single requests.
        p50_ms: median latency of a request, in milliseconds.
        p90_ms: the latency that 90 % of the requests stay below.
        p99_ms: the latency that 99 % of the requests stay below.
        examples: number of examples answered together.
        examples_per_second: throughput of these examples, in the fastest round.
        tokens_per_second: the same in tokens, special tokens included.
    """

    requests: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    examples: int
    examples_per_second: float
    tokens_per_second: float


def measure_speeds(tasks: Mapping[str, Task[Any]], examples: Sequence[Example], rounds: int = 3) -> dict[str, Speed]:
    """Measure tasks in turn, so that whatever else the machine does slows them all alike.

    Args:
        tasks: tasks by name.
        examples: at least one; the first ``REQUESTS`` of them are the single requests.
        rounds: rounds of throughput, of which the fastest counts.
    """
    requests = examples[:REQUESTS]
    for task in tasks.values():
        predict(task, requests[:WARM_UP])
    latencies: dict[str, list[float]] = {name: [] for name in tasks}
    for example in requests:
        for name, task in tasks.items():
            latencies[name].append(_seconds(task, [example]))
    slowest = max(float(np.median(seconds)) for seconds in latencies.values())
    batch = examples[: int(np.clip(ROUND_SECONDS / max(slowest, 1e-6), FEWEST_EXAMPLES, MOST_EXAMPLES))]
    fastest_round, tokens = dict.fromkeys(tasks, float("inf")), dict.fromkeys(tasks, 0)
    for _ in range(rounds):
        for name, task in tasks.items():
            recorded_task = copy.copy(task)
            recorded_task.runner = recorder = RecordingRunner(task.runner)
            fastest_round[name] = min(fastest_round[name], _seconds(recorded_task, batch))
            tokens[name] = sum(len(recorded.input_ids) for recorded in recorder.batches)
    return {name: _speed(latencies[name], len(batch), tokens[name], fastest_round[name]) for name in tasks}


def _seconds(task: Task[Any], examples: Sequence[Example]) -> float:
    start = time.perf_counter()
    predict(task, examples)
    return max(time.perf_counter() - start, 1e-9)


def _speed(latencies: list[float], examples: int, tokens: int, seconds: float) -> Speed:
    p50, p90, p99 = (round(1000 * float(quantile), 3) for quantile in np.quantile(latencies, [0.5, 0.9, 0.99]))
    return Speed(len(latencies), p50, p90, p99, examples, round(examples / seconds, 1), round(tokens / seconds, 1))
