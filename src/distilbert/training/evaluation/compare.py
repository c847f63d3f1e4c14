"""Two models on the same examples: differences and whether they mean anything, agreement, size and speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bootstrap import Difference, differences, mcnemar
from .rows import Row, rights
from .squad import normalize
from .weighted import Weighted


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        metric: its metrics as a function of resamples.
        rows: its answers, one an example.
        facts: ``parameters`` and ``bytes``, as far as known.
        speed: ``p50_ms`` and ``examples_per_second``; empty where nothing was measured.
    """

    metric: Weighted
    rows: Sequence[Row]
    facts: Mapping[str, Any]
    speed: Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The first model against the second.

    Attributes:
        differences: of each metric, first less second.
        agreement: share of the examples (of the words, for tagging) that both answer alike; None for numbers.
        right: how many examples both, only the first, only the second, or neither of them answers rightly; empty
            where answers are not simply right or wrong.
        p_value: of McNemar's exact test on these; None without them.
        ratios: first by second: ``parameters``, ``bytes``, ``speed`` (examples a second) and ``latency`` (median).
    """

    differences: dict[str, Difference]
    agreement: float | None
    right: dict[str, int]
    p_value: float | None
    ratios: dict[str, float]


def compare(first: Side, second: Side, *, samples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two models that answered the same examples.

    Args:
        first: the model in question.
        second: what it is compared with.
        samples: bootstrap resamples, the same ones for both; 0 for no differences.
        seed: decides them.
    """
    mine, theirs = rights(first.rows), rights(second.rows)
    table, p_value = {}, None
    if mine is not None and theirs is not None:
        table = {
            "both": int((mine & theirs).sum()),
            "only_first": int((mine & ~theirs).sum()),
            "only_second": int((~mine & theirs).sum()),
            "neither": int((~mine & ~theirs).sum()),
        }
        p_value = mcnemar(mine, theirs)
    pairs = {
        "parameters": (first.facts.get("parameters"), second.facts.get("parameters")),
        "bytes": (first.facts.get("bytes"), second.facts.get("bytes")),
        "speed": (first.speed.get("examples_per_second"), second.speed.get("examples_per_second")),
        "latency": (first.speed.get("p50_ms"), second.speed.get("p50_ms")),
    }
    return Comparison(
        differences(first.metric, second.metric, len(first.rows), samples, seed),
        agreement(first.rows, second.rows),
        table,
        p_value,
        {name: above / below for name, (above, below) in pairs.items() if above and below},
    )


def agreement(first: Sequence[Row], second: Sequence[Row]) -> float | None:
    """Return the share of answers that are the same; None where answers are numbers."""
    if not first or first[0]["right"] is None:
        return None
    if "words" in first[0]:
        pairs = [pair for a, b in zip(first, second, strict=True) for pair in zip(a["got"], b["got"], strict=True)]
        return float(np.mean([x == y for x, y in pairs])) if pairs else None
    shown = normalize if "key" in first[0] else lambda answer: answer
    return float(np.mean([shown(a["got"]) == shown(b["got"]) for a, b in zip(first, second, strict=True)]))
