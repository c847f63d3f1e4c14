"""What an evaluation says: one or two sentences and a table of all figures, for the page and for the terminal.

``values`` is the content of ``evaluation.json``, as ``Evaluation.to_dict`` returns it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...tasks.registry import task_spec
from .finished_run import JsonObject, nested
from .models_summary import metric_name
from .number_format import ABSENT, count, finite, listed, number, pace, ratio, signed, size, whole


@dataclass(frozen=True)
class Value:
    """A number in the table, and its interval in parentheses, which may be empty."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class TableRow:
    """A figure of each model, and the first less the second, or the first by the second; None for one model alone."""

    label: str
    values: list[Value]
    difference: Value | None


@dataclass(frozen=True)
class _Fact:
    """A figure without an interval: its label, where it stands in a model's result, and how it is written."""

    label: str
    section: str
    key: str
    format: Callable[[Any], str]
    ratio: str = ""  # its key among the ratios of two models


FACTS = (
    _Fact("Expected calibration error", "calibration", "error", number),
    _Fact("Parameters", "facts", "parameters", count, "parameters"),
    _Fact("Size of the weights", "facts", "bytes", size, "bytes"),
    _Fact("Layers", "facts", "layers", whole),
    _Fact("Latency p50 (ms)", "speed", "p50_ms", number, "latency"),
    _Fact("Latency p90 (ms)", "speed", "p90_ms", number),
    _Fact("Latency p99 (ms)", "speed", "p99_ms", number),
    _Fact("Examples/s", "speed", "examples_per_second", number, "speed"),
    _Fact("Tokens/s", "speed", "tokens_per_second", pace),
)


def evaluation_headline(values: JsonObject) -> str:
    """Return the result in one sentence; of two models also whether their difference may be chance."""
    main, models = values["main_metric"], values["models"]
    name = metric_name(main, values["task"]).removesuffix(" (%)")
    name = name if name.startswith(("F1", "Matthews", "Pearson", "Spearman")) else name[0].lower() + name[1:]
    in_percent = task_spec(values["task"]).metric_for(values["data"].get("problem", "")).in_percent
    value = number(models[0]["metrics"][main]) + (" %" if in_percent else "")
    first = f"{models[0]['name']} reaches {name} {value}{interval_text(models[0], main)}"
    if len(models) == 1:
        return f"{first}."
    comparison = values["comparison"]
    second = f"{models[1]['name']} {number(models[1]['metrics'][main])}{interval_text(models[1], main)}"
    ratios = nested(comparison, "ratios")
    shares = [
        f"{ratio(ratios[key], 1)} the {what}"
        for key, what in (("parameters", "parameters"), ("speed", "speed"))
        if key in ratios
    ]
    difference = comparison["differences"].get(main)
    verdict = ""
    if difference is not None:
        significant = difference["low"] > 0 or difference["high"] < 0
        verdict = (
            f" The difference of {signed(difference['value'])} is "
            f"{'more' if significant else 'no more'} than chance explains (95 % interval {signed(difference['low'])} "
            f"to {signed(difference['high'])})."
        )
    sizes = f" The first has {listed(shares)} of the second." if shares else ""
    return f"{first}, {second}.{verdict}{sizes}"


def evaluation_table(values: JsonObject) -> list[TableRow]:
    """Return a row for each metric and each other figure that was measured."""
    models, comparison = values["models"], values.get("comparison")
    differences, ratios = nested(comparison or {}, "differences"), nested(comparison or {}, "ratios")
    rows = []
    for key in models[0]["metrics"]:
        cells = [Value(number(model["metrics"].get(key)), interval_text(model, key)) for model in models]
        rows.append(TableRow(metric_name(key, values["task"]), cells, _difference(differences.get(key), comparison)))
    for fact in FACTS:
        figures = [_section(model, fact.section).get(fact.key) for model in models]
        if any(finite(figure) is not None for figure in figures):
            times = ratio(ratios.get(fact.ratio), 1) if fact.ratio else ""
            cells = [Value(fact.format(figure)) for figure in figures]
            rows.append(TableRow(fact.label, cells, Value(times) if comparison else None))
    return rows


def _section(model: JsonObject, name: str) -> JsonObject:
    return nested(model["details"] if name == "calibration" else model, name)


def _difference(difference: JsonObject | None, comparison: JsonObject | None) -> Value | None:
    if not comparison:
        return None
    if difference is None:
        return Value(ABSENT)
    return Value(signed(difference["value"]), f" ({signed(difference['low'])} to {signed(difference['high'])})")


def comparison_sentences(values: JsonObject) -> list[str]:
    """Return how often two models agree, and how often only one of them is right; nothing for one model alone."""
    comparison = values.get("comparison") or {}
    sentences = []
    if finite(comparison.get("agreement")) is not None:
        sentences.append(f"Both answer alike in {100 * comparison['agreement']:.1f} % of the cases.")
    if right := nested(comparison, "right"):
        first, second = (model["name"] for model in values["models"])
        sentences.append(
            f"Only {first} is right {whole(right['only_first'])} times, only {second} {whole(right['only_second'])} "
            f"times (McNemar's exact test: p = {number(comparison['p_value'])})."
        )
    return sentences


def interval_text(model: JsonObject, metric: str) -> str:
    """Return the interval of a metric, such as ``" (0.81 to 0.93)"``; empty if there is none."""
    interval = nested(model["intervals"], metric)
    return f" ({number(interval['low'])} to {number(interval['high'])})" if interval else ""
