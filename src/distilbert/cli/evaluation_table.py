"""An evaluation on a terminal: the result in a sentence, a table of the measurements, the worst errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..training.reports.evaluation_text import between, sentence, signed
from ..training.reports.figures import ABSENT, count, metric_name, number, pace, ratio, size, whole
from .text_output import clean, plain_console

Values = Mapping[str, Any]
ERRORS = 5  # how many of the worst are printed
# Label, where the model's figures have the value, its key, how it is written, and its key among the ratios.
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


def print_evaluation(values: Values, console: Console | None = None) -> None:
    """Print what ``Evaluation.to_dict`` returned."""
    console = console or plain_console()
    examples = values["data"]["examples"]
    console.print(Text(f"{values['task']}, {examples:,} {'example' if examples == 1 else 'examples'}", style="dim"))
    console.print(Text(clean(sentence(values), 1000)))
    console.print(_table(values))
    if comparison := values["comparison"]:
        for line in _comparison(comparison, [model["name"] for model in values["models"]]):
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
        fields = [number(model["metrics"].get(key)) for model in models]
        if not comparison:
            fields[0] += between(models[0], key)
        else:
            difference = comparison["differences"].get(key)
            interval = difference and f" ({signed(difference['low'])} to {signed(difference['high'])})"
            fields.append(f"{signed(difference['value'])}{interval}" if difference else ABSENT)
        table.add_row(metric_name(key, values["task"]), *fields)
    for label, where, key, written, compared in FACTS:
        facts = [(model["details"] if where == "calibration" else model).get(where) or {} for model in models]
        if any(key in of_model for of_model in facts):
            times = [ratio(comparison["ratios"].get(compared), 1) if compared else ""] if comparison else []
            table.add_row(label, *(written(of_model.get(key)) for of_model in facts), *times)
    return table


def _comparison(comparison: Values, names: list[str]) -> Iterator[str]:
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
        yield f"  {clean(row['place'])}  {_input(row)}"
        if "words" not in row:
            yield f"    expected {_answer(row['expected'])}, got {_answer(row['got'])} ({number(row['score'])})"


def _input(row: Values) -> str:
    if "words" in row:
        wrong_words = [
            f"{word} ({expected}, got {got})"
            for word, expected, got in zip(row["words"], row["expected"], row["got"], strict=True)
            if expected != got
        ]
        return clean(", ".join(wrong_words), 200)
    keys = ("text", "text_pair", *(["context"] if "choices" in row else []), "question")
    return clean("  |  ".join(row[key] for key in keys if row.get(key)), 120)


def _answer(answer: Any) -> str:
    answers = answer if isinstance(answer, list) else [answer]
    return (
        clean(" / ".join(number(item) if isinstance(item, float) else str(item) for item in answers), 80) or "nothing"
    )
