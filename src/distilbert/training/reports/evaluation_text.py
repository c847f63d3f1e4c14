"""What an evaluation says in words."""

from __future__ import annotations

from typing import Any

from .figures import ABSENT, finite, listed, metric_name, number, ratio
from .run_record import Record, part


def sentence(values: Record) -> str:
    """Return what came out, in one sentence or two."""
    main, models = values["main_metric"], values["models"]
    name = metric_name(main, values["task"]).removesuffix(" (%)")
    name = name if name.startswith(("F1", "Matthews", "Pearson", "Spearman")) else name[0].lower() + name[1:]
    written = number(models[0]["metrics"][main]) + (" %" if values["task"] == "question-answering" else "")
    said = [f"{models[0]['name']} reaches {name} {written}{between(models[0], main)}"]
    if len(models) == 1:
        return said[0] + "."
    comparison = values["comparison"]
    said.append(f"{models[1]['name']} {number(models[1]['metrics'][main])}{between(models[1], main)}")
    ratios = part(comparison, "ratios")
    sized = [
        f"{ratio(ratios[key], 1)} the {what}"
        for key, what in (("parameters", "parameters"), ("speed", "speed"))
        if key in ratios
    ]
    difference = comparison["differences"].get(main)
    verdict = ""
    if difference is not None:
        apart = difference["low"] > 0 or difference["high"] < 0
        verdict = (
            f" The difference of {signed(difference['value'])} is "
            f"{'more' if apart else 'no more'} than chance explains (95 % interval {signed(difference['low'])} to "
            f"{signed(difference['high'])})."
        )
    beside = f" The first has {listed(sized)} of the second." if sized else ""
    return f"{said[0]}, {said[1]}.{verdict}{beside}"


def signed(value: Any) -> str:
    """Write a number with its sign: ``+0.0123``, ``−0.5``."""
    x = finite(value)
    if x is None:
        return ABSENT
    return number(x) if x == 0 else f"{'+' if x > 0 else '−'}{number(abs(x))}"


def between(model: Record, metric: str) -> str:
    """Return the interval of a metric in parentheses; empty where there is none."""
    interval = part(model["intervals"], metric)
    return f" ({number(interval['low'])} to {number(interval['high'])})" if interval else ""
