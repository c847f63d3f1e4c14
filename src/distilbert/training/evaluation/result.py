"""The result of an evaluation, as data and as files."""

from __future__ import annotations

import dataclasses
import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.files import check_output_folder, filling_folder, write_json, write_text
from .bootstrap import LEVEL, Interval
from .model_comparison import ModelComparison
from .speed import Speed
from .task_evaluation import ExampleResult

FILES = ("evaluation.json", "predictions.jsonl", "report.html")


@dataclass(frozen=True)
class ModelResult:
    """The figures of one model.

    Attributes:
        name: its name in tables: the last part of its folder.
        model: the folder or name that it was loaded from.
        facts: parameters, bytes, layers and dim, as far as known.
        metrics: by name; see :func:`.task_metrics.compute_metrics`.
        intervals: of each metric, from resampling the examples.
        details: per-class results, confusion, calibration; see :func:`.task_metrics.breakdown`.
        speed: latency and throughput; None if they were not measured.
    """

    name: str
    model: str
    facts: dict[str, int]
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    details: dict[str, Any]
    speed: Speed | None


@dataclass(frozen=True)
class Evaluation:
    """The result of :func:`distilbert.evaluate`.

    Attributes:
        task: name of the task.
        main_metric: the metric by which models are compared.
        higher_is_better: whether more of it is better.
        data: sources, columns, how many examples were read and evaluated, labels.
        models: the model, and the one that it is compared with, if any.
        comparison: of the two.
        worst: the results of the first model with the most severe errors.
        about: date, machine, and all settings.
        predictions: the result of each example, of the first model; not part of :meth:`to_dict`.
    """

    task: str
    main_metric: str
    higher_is_better: bool
    data: dict[str, Any]
    models: list[ModelResult]
    comparison: ModelComparison | None
    worst: list[ExampleResult]
    about: dict[str, Any]
    predictions: list[ExampleResult] = field(repr=False)

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the first model."""
        return self.models[0].metrics

    def _repr_html_(self) -> str:
        """Return the metrics of each model with their intervals as a table, which a notebook shows."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th>" + "".join(_metric_cell(model, name) for model in self.models) + "</tr>"
            for name in self.metrics
        )
        names = "".join(f"<th>{html.escape(model.name)}</th>" for model in self.models)
        title = f"{html.escape(self.task)}, {self.data['examples']:,} examples; {LEVEL:.0%} intervals"
        return f"<table><caption>{title}</caption><tr><th></th>{names}</tr>{rows}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON: the content of ``evaluation.json``."""
        names = [item.name for item in dataclasses.fields(self) if item.name != "predictions"]
        return {name: _plain(getattr(self, name)) for name in names}

    def save(self, folder: str | Path) -> Path:
        """Write ``evaluation.json``, ``predictions.jsonl`` and ``report.html``, each atomically.

        Raises:
            InputError: ``folder`` is a file.
            MissingExtraError: matplotlib or jinja2 is not installed.
        """
        from ..reports.evaluation_report import evaluation_page

        values, path = self.to_dict(), check_output_folder(folder)
        text = evaluation_page(values)  # before anything is written
        lines = (json.dumps(result, ensure_ascii=False) + "\n" for result in self.predictions)
        with filling_folder(path):
            write_text(path / "predictions.jsonl", "".join(lines).encode("utf-8", "replace").decode("utf-8"))
            write_text(path / "report.html", text)
            write_json(path / "evaluation.json", values)
        return path


def _metric_cell(model: ModelResult, name: str) -> str:
    """Return a cell such as ``0.893 (0.871 to 0.912)``; empty where the model does not have the metric."""
    if name not in model.metrics:
        return "<td></td>"
    interval = model.intervals.get(name)
    spread = "" if interval is None else f" ({interval.low:.4g} to {interval.high:.4g})"
    return f"<td>{model.metrics[name]:.4g}{spread}</td>"


def _plain(value: Any) -> Any:
    """Return a value with all dataclasses in it as dicts."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
