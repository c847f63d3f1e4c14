"""The page about an evaluation, ``report.html``: metrics with intervals, charts, tables, and the worst errors.

It is made from the content of ``evaluation.json`` alone (``values``), and needs nothing from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...tasks.registry import task_spec
from ..evaluation.task_metrics import task_evaluation
from . import charts
from .evaluation_summary import comparison_sentences, evaluation_headline, evaluation_table
from .finished_run import JsonObject, nested
from .models_summary import metric_name
from .number_format import listed, number, when, whole
from .rendering import render_page
from .training_report import MACHINE_NAMES, known_facts

MOST_ROWS = 200  # in the table of classes
MOST_CONFUSED = 15
MOST_LABELS = 12  # that are listed
UNBOUNDED = ("log_loss", "mse", "perplexity")  # metrics without a largest value, so that no bar can show them


def evaluation_page(values: JsonObject) -> str:
    """Return the page as HTML.

    Args:
        values: what ``Evaluation.to_dict`` returns.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    models: Sequence[JsonObject] = values["models"]
    about, data = nested(values, "about"), nested(values, "data")
    evaluation, details = task_evaluation(values["task"], data.get("problem", "")), models[0]["details"]
    by_type, errors = bool(details.get("types")), values.get("worst") or []
    classes = details.get("types") or details.get("classes") or []
    return render_page(
        "evaluation_report.html.j2",
        title=f"{' against '.join(model['name'] for model in models)} on {_source_names(data)}",
        subtitle=[
            text
            for text in (values["task"], f"{whole(data.get('examples'))} examples", when(about.get("created")))
            if text
        ],
        headline=evaluation_headline(values),
        header=["Measured", *(model["name"] for model in models), *(["Difference"] if values["comparison"] else [])],
        table=evaluation_table(values),
        comparison=" ".join(comparison_sentences(values)),
        charts=list(_charts(values)),
        confused=_most_confused(models[0]),
        classes_title="By type" if by_type else "By label",
        classes=[
            [entry["name"], *(number(entry[key]) for key in ("precision", "recall", "f1")), whole(entry["support"])]
            for entry in classes[:MOST_ROWS]
        ],
        classes_open=len(classes) <= charts.MOST_CLASSES,
        errors_title="Worst examples" if errors and errors[0]["right"] is None else "Worst errors",
        errors_order=evaluation.error_order,
        errors=[evaluation.error_entry(result) for result in errors],
        sections=[
            ("Data", known_facts(_data_facts(data))),
            ("Machine", known_facts(_machine_facts(nested(about, "machine")))),
        ],
        settings="\n".join(f"{name} = {value!r}" for name, value in nested(about, "settings").items()),
    )


def _source_names(data: JsonObject) -> str:
    return listed([Path(source).name for source in data.get("sources", [])])


def _most_confused(model: JsonObject) -> list[tuple[str, str, str]]:
    """Return the pairs of labels confused most often, if the matrix is too large to draw: right, predicted, times."""
    matrix, classes = model["details"].get("confusion"), model["details"].get("classes", [])
    if not matrix or len(classes) <= charts.MOST_CLASSES:
        return []
    counts = [
        (times, row, column)
        for row, entries in enumerate(matrix)
        for column, times in enumerate(entries)
        if times and row != column
    ]
    most = sorted(counts, key=lambda entry: (-entry[0], entry[1:]))[:MOST_CONFUSED]
    return [(classes[row]["name"], classes[column]["name"], whole(times)) for times, row, column in most]


def _data_facts(data: JsonObject) -> list[tuple[str, Any]]:
    columns, read, labels = nested(data, "columns"), data.get("read"), data.get("labels", [])
    more = ", ..." if len(labels) > MOST_LABELS else ""
    return [
        ("Sources", data.get("sources", [])),
        ("Columns", [f"{role}: {column}" for role, column in columns.items()]),
        ("Examples", whole(data.get("examples")) + (f" of {whole(read)}" if read != data.get("examples") else "")),
        ("Labels", f"{len(labels)}: {', '.join(labels[:MOST_LABELS])}{more}" if labels else ""),
    ]


def _machine_facts(machine: JsonObject) -> Iterator[tuple[str, Any]]:
    for key, value in machine.items():
        if isinstance(value, Mapping):
            yield from ((str(name), text) for name, text in value.items())
        else:
            yield MACHINE_NAMES.get(key, key.replace("_", " ").capitalize()), value


@dataclass(frozen=True)
class Chart:
    """A drawing with its title and, if it has several colours, their names in order."""

    title: str
    svg: str
    colors: Sequence[str] = ()

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Style class and name of each colour."""
        return [(f"k{index % 6 + 1}", name) for index, name in enumerate(self.colors)]


def _charts(values: JsonObject) -> Iterator[Chart]:
    models = values["models"]
    names, details = [model["name"] for model in models], models[0]["details"]
    task, labels = values["task"], nested(values, "data").get("labels", [])
    compared = names if len(models) > 1 else []
    keys = [key for key in models[0]["metrics"] if key not in UNBOUNDED and models[0]["metrics"][key] >= 0]
    if keys:
        rows = [(metric_name(key, task), [_bar(model, key) for model in models]) for key in keys]
        top = 100.0 if task_spec(task).metric_for(values["data"].get("problem", "")).in_percent else 1.0
        yield Chart("Metrics", charts.horizontal_bars("metrics", _bars_text("metrics", rows), rows, top=top), compared)
    if "confusion" in details and len(labels) <= charts.MOST_CLASSES:
        yield Chart("Confusion matrix", charts.confusion_matrix("confusion", details["confusion"], labels))
    calibrations = {
        model["name"]: model["details"]["calibration"] for model in models if "calibration" in model["details"]
    }
    if calibrations:
        errors = [f"{name}, expected error {number(value['error'])}" for name, value in calibrations.items()]
        yield Chart("Reliability", charts.reliability_diagram("reliability", calibrations), errors)
    if "scores" in details:
        yield Chart("Scores", charts.score_histogram("scores", details["scores"]), ["right", "wrong"])
    if "points" in details:
        yield Chart("Predicted by expected", charts.scatter("points", details["points"]))
    if "cosines" in details:
        yield Chart("Cosine by expected score", charts.scatter("cosines", details["cosines"], one_scale=False))
    key = "types" if details.get("types") else "classes"
    if details.get(key):
        yield _f1_chart(models, key, compared)


def _f1_chart(models: Sequence[JsonObject], key: str, compared: Sequence[str]) -> Chart:
    """F1 of each class or entity type; of many, of those with the lowest."""
    tables = [{entry["name"]: entry["f1"] for entry in model["details"].get(key, [])} for model in models]
    names = list(tables[0])
    title = f"F1 by {'type' if key == 'types' else 'label'}"
    if len(names) > charts.MOST_BARS:
        names = sorted(names, key=lambda name: tables[0][name])[: charts.MOST_BARS]
        title += ", the lowest"
    rows = [(name, [(table.get(name, 0.0), 0.0, 0.0) for table in tables]) for name in names]
    return Chart(title, charts.horizontal_bars(key, _bars_text(title, rows), rows), compared)


Bar = tuple[float, float, float]  # a value and the ends of its interval


def _bar(model: JsonObject, key: str) -> Bar:
    value, interval = model["metrics"].get(key, 0.0), nested(model["intervals"], key)
    return (value, interval["low"], interval["high"]) if interval else (value, value, value)


def _bars_text(title: str, rows: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    values = "; ".join(f"{label} {', '.join(number(bar[0]) for bar in bars)}" for label, bars in rows)
    return f"Bars, {title}: {values}."
