"""An evaluation on a terminal: the result, a table of what was measured, the worst errors in a line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..training.reports.evaluation_text import between, sentence, signed
from ..training.reports.figures import ABSENT, count, metric_name, number, pace, ratio, size, whole
from .show import clean

Values = Mapping[str, Any]
ERRORS = 5
FACTS = (
    ("Calibration error", "calibration", "error", number, ""),
    ("Parameters", "facts", "parameters", count, "parameters"),
    ("Size of the weights", "facts", "bytes", size, "bytes"),
    ("Layers", "facts", "layers", whole, ""),
    ("Latency p50 (ms)", "speed", "p50_ms", number, "latency"),
    ("Latency p90 (ms)", "speed", "p90_ms", number, ""),
    ("Latency p99 (ms)", "speed", "p99_ms", number, ""),
    ("Examples/s", "speed", "examples_per_second", number, "speed"),
    ("Tokens/s", "speed", "tokens_per_second", pace, ""),
)


def show(values: Values, console: Console | None = None) -> None:
    """Print what ``Evaluation.to_dict`` returned."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    examples = values["data"]["examples"]
    console.print(Text(f"{values['task']}, {examples:,} {'example' if examples == 1 else 'examples'}", style="dim"))
    console.print(Text(clean(sentence(values), 1000)))
    console.print(_table(values))
    if comparison := values["comparison"]:
        for line in _compared(comparison, [model["name"] for model in values["models"]]):
            console.print(Text(clean(line)))
    for line in _worst(values):
        console.print(Text(line))


def _table(values: Values) -> Table:
    models, comparison = values["models"], values["comparison"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for model in models:
        table.add_column(Text(clean(model["name"])), justify="right")
    if comparison:
        table.add_column("difference", justify="right")
    for key in models[0]["metrics"]:
        cells = [number(model["metrics"].get(key)) for model in models]
        if not comparison:
            cells[0] += between(models[0], key)
        else:
            one = comparison["differences"].get(key)
            ends = one and f" ({signed(one['low'])} to {signed(one['high'])})"
            cells.append(f"{signed(one['value'])}{ends}" if one else ABSENT)
        table.add_row(metric_name(key, values["task"]), *cells)
    for label, where, key, written, compared in FACTS:
        parts = [(model["details"] if where == "calibration" else model).get(where) or {} for model in models]
        if any(key in part for part in parts):
            times = [ratio(comparison["ratios"].get(compared), 1) if compared else ""] if comparison else []
            table.add_row(label, *(written(part.get(key)) for part in parts), *times)
    return table


def _compared(comparison: Values, names: list[str]) -> Iterator[str]:
    if comparison["agreement"] is not None:
        yield f"Both answer alike in {100 * comparison['agreement']:.1f} % of the cases."
    if right := comparison["right"]:
        yield (
            f"Only {names[0]} is right {right['only_first']:,} times, only {names[1]} {right['only_second']:,} times "
            f"(McNemar's exact test: p = {number(comparison['p_value'])})."
        )


def _worst(values: Values) -> Iterator[str]:
    rows = values["worst"][:ERRORS]
    if rows:
        yield ""
        yield "Worst:"
    for row in rows:
        yield f"  {clean(row['place'])}  {_asked(row)}"
        if "words" not in row:
            yield f"    expected {_written(row['expected'])}, got {_written(row['got'])} ({number(row['score'])})"


def _asked(row: Values) -> str:
    if "words" in row:
        differing = [
            f"{word} ({expected}, got {got})"
            for word, expected, got in zip(row["words"], row["expected"], row["got"], strict=True)
            if expected != got
        ]
        return clean(", ".join(differing), 200)
    keys = ("text", "text_pair", *(["context"] if "choices" in row else []), "question")
    return clean("  |  ".join(row[key] for key in keys if row.get(key)), 120)


def _written(answer: Any) -> str:
    answers = answer if isinstance(answer, list) else [answer]
    return clean(" / ".join(number(one) if isinstance(one, float) else str(one) for one in answers), 80) or "nothing"
