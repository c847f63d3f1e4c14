"""What was measured of the models of a run: a table with a column for each, and one sentence.

The report and the model card both write from here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...tasks.registry import task_spec
from .finished_run import FinishedRun, JsonObject, nested
from .number_format import (
    ABSENT,
    change,
    count,
    duration,
    finite,
    listed,
    number,
    pace,
    percent,
    ratio,
    size,
    speed,
    whole,
)


@dataclass(frozen=True)
class ModelFigure:
    """A figure of a model: its key in the summary, its name for people, how it is written and how two are compared."""

    key: str
    label: str
    format: Callable[[Any], str]
    compare: Callable[[Any, Any], str] | None = None


FIGURES = (
    ModelFigure("parameters", "Parameters", count, ratio),
    ModelFigure("bytes", "Size of the weights", size, ratio),
    ModelFigure("layers", "Layers", whole, ratio),
    ModelFigure("dim", "Width", whole, ratio),
    ModelFigure("perplexity", "Held-out perplexity", number, change),
    ModelFigure("kl", "KL from the teacher (nats)", number),
    ModelFigure("agreement", "Agreement with the teacher", percent),
    ModelFigure("tokens_per_second", "Speed (tokens/s)", pace, ratio),
)
METRIC_NAMES = {
    "accuracy": "Accuracy", "f1_macro": "F1, mean over labels", "f1_micro": "F1, over all labels", "f1": "F1",
    "matthews": "Matthews correlation", "log_loss": "Log loss", "subset_accuracy": "All labels right",
    "pearson": "Pearson correlation", "spearman": "Spearman correlation", "mse": "Mean squared error",
    "precision": "Precision", "recall": "Recall", "token_accuracy": "Accuracy of tags",
    "exact_match": "Exact match (%)", "has_answer_exact_match": "Exact match with an answer (%)",
    "has_answer_f1": "F1 with an answer (%)", "no_answer_exact_match": "Exact match without an answer (%)",
    "no_answer_f1": "F1 without an answer (%)", "perplexity": "Perplexity of masked tokens",
    "similarity_error": "Error of similarities",
    "vector_cosine": "Cosine with the teacher's vectors",
}  # fmt: skip


def metric_name(key: str, task: str = "") -> str:
    """Return a metric's name for people; that of a task's main metric stands with the task."""
    metric = task_spec(task).metric if task else None
    return metric.title if metric is not None and metric.name == key else METRIC_NAMES.get(key, key)


@dataclass(frozen=True)
class ModelsTable:
    """A table: ``header`` names its columns, and each row begins with its label."""

    header: list[str]
    rows: list[list[str]]


def models_table(models: Mapping[str, JsonObject], task: str = "") -> ModelsTable:
    """Return a table with a column for each model and, for a teacher and a student, how they compare.

    A figure that no model has is left out.
    """
    teacher, student = models.get("teacher"), models.get("student")
    header = ["", *(name.replace("_", " ").capitalize() for name in models)]
    if teacher is not None and student is not None:
        header.append("Compared")
    rows = []
    known = {figure.key for figure in FIGURES}
    metrics = [key for key in METRIC_NAMES if key not in known and any(key in model for model in models.values())]
    for figure in (*FIGURES, *(ModelFigure(key, metric_name(key, task), number, change) for key in metrics)):
        values = [model.get(figure.key) for model in models.values()]
        if all(finite(value) is None for value in values):
            continue
        row = [figure.label, *map(figure.format, values)]
        if teacher is not None and student is not None:
            compare = figure.compare
            row.append(compare(student.get(figure.key), teacher.get(figure.key)) if compare else ABSENT)
        rows.append(row)
    return ModelsTable(header, rows)


def headline(run: FinishedRun, where: str = "on this machine") -> str:
    """Return in a sentence or two what was measured; if nothing was, how the model was trained.

    Args:
        run: the run.
        where: the machine that the speeds were measured on.
    """
    return measured_sentence(run.models, metric=run.main_metric, task=run.task, where=where) or _training_sentence(run)


def measured_sentence(
    models: Mapping[str, JsonObject], *, metric: str = "perplexity", task: str = "", where: str = "on this machine"
) -> str:
    """Return in a sentence what was measured; empty if nothing was.

    Args:
        models: the figures of each model.
        metric: the figure that counts.
        task: the task that it is a figure of; empty for held-out text.
        where: the machine that the speeds were measured on.
    """
    if "teacher" in models and "student" in models:
        return _student_sentence(models["teacher"], models["student"], metric, _figure_name(metric, task), where)
    sentences = []
    for name, model in models.items():
        clauses = []
        if finite(model.get("parameters")) is not None:
            clauses.append(f"has {count(model['parameters'])} parameters")
        elif finite(model.get("layers")) is not None and finite(model.get("dim")) is not None:
            clauses.append(f"has {whole(model['layers'])} layers of width {whole(model['dim'])}")
        if finite(model.get(metric)) is not None:
            clauses.append(f"reaches {_figure_name(metric, task)} of {number(model[metric])}")
        if finite(model.get("tokens_per_second")) is not None:
            clauses.append(f"runs at {speed(model['tokens_per_second'])} {where}")
        if clauses:
            sentences.append(f"The {name if 'model' in name else name + ' model'} {listed(clauses)}.")
    return " ".join(sentences)


def _figure_name(metric: str, task: str) -> str:
    """Return, for example, ``"a held-out perplexity"`` or ``"an accuracy"``."""
    if not task:
        return "a held-out perplexity"
    name = metric_name(metric, task)
    name = name if name[:2] == "F1" else name[0].lower() + name[1:]
    return f"{'an' if name[0] in 'aeF' else 'a'} {name}"


def _student_sentence(teacher: JsonObject, student: JsonObject, metric: str, metric_text: str, where: str) -> str:
    clauses = []
    if (times := ratio(student.get("parameters"), teacher.get("parameters"))) != ABSENT:
        clauses.append(f"has {times} the parameters of its teacher")
    if (times := ratio(student.get("tokens_per_second"), teacher.get("tokens_per_second"))) != ABSENT:
        clauses.append(f"runs {times} as fast {where}")
    reached = number(student.get(metric))
    if reached != ABSENT:
        difference = change(student.get(metric), teacher.get(metric))
        against = "" if difference == ABSENT else f" against {number(teacher.get(metric))} ({difference})"
        clauses.append(f"reaches {metric_text} of {reached}{against}")
    share = percent(student.get("agreement"))
    agreement = f"the teacher's first choice on {share} of the masked tokens" if share != ABSENT else ""
    if not clauses:
        return f"The student agrees with {agreement}." if agreement else ""
    return f"The student {listed(clauses)}{', agreeing with ' + agreement if agreement else ''}."


def _training_sentence(run: FinishedRun) -> str:
    """Say how long and on what a model was trained that nothing was measured of."""
    summary, data = run.summary, nested(run.summary, "data")
    clauses = []
    if finite(summary.get("steps")) is not None:
        clauses.append(f"for {whole(summary['steps'])} steps")
    if finite(data.get("examples")) is not None:
        clauses.append(f"on {whole(data['examples'])} labelled examples")
    elif finite(summary.get("tokens")) is not None:
        clauses.append(f"on {count(summary['tokens'])} tokens")
    if finite(summary.get("seconds")) is not None:
        clauses.append(f"in {duration(summary['seconds'])}")
    if not clauses:
        return "The run recorded no figures of its model."
    return f"The model was trained {' '.join(clauses)} and not evaluated."
