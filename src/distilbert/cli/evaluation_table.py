"""An evaluation on a terminal: the result in a sentence, a table of the measurements, the worst errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.counted import counted
from ..training.reports.evaluation_summary import comparison_sentences, evaluation_headline, evaluation_table
from ..training.reports.number_format import number
from .text_output import clean, plain_console

Values = Mapping[str, Any]
ERRORS = 5  # how many of the worst are printed


def print_evaluation(values: Values, console: Console | None = None) -> None:
    """Print what ``Evaluation.to_dict`` returned."""
    console = console or plain_console()
    examples = values["data"]["examples"]
    console.print(Text(f"{values['task']}, {counted(examples, 'example')}", style="dim"))
    console.print(Text(clean(evaluation_headline(values), 1000)))
    console.print(_table(values))
    for line in comparison_sentences(values):
        console.print(Text(clean(line)))
    for line in _worst(values):
        console.print(Text(line))


def _table(values: Values) -> Table:
    compared = bool(values["comparison"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for model in values["models"]:
        table.add_column(Text(clean(model["name"])), justify="right")
    if compared:
        table.add_column("difference", justify="right")
    for row in evaluation_table(values):
        cells = [value.text if compared else value.text + value.interval for value in row.values]
        difference = [row.difference.text + row.difference.interval] if row.difference else []
        table.add_row(row.label, *cells, *difference)
    return table


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
