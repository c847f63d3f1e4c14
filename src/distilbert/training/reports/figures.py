"""Numbers as people read them, and what a run's numbers say: the comparison of its models and one sentence.

The report and the model card both write from here, so they cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .run_record import Record

ABSENT = "–"


def finite(value: Any) -> float | None:
    """Return a number as a float; None for what is no number, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: Any) -> str:
    """Three digits: ``12.3``, ``0.0123``, ``1,234``, ``5e-4``."""
    x = finite(value)
    if x is None:
        return ABSENT
    if x == 0:
        return "0"
    if float(f"{abs(x):.3g}") >= 1000:
        return f"{x:,.0f}"
    if abs(x) < 1e-3:
        mantissa, exponent = f"{x:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{x:#.3g}".rstrip(".")


def whole(value: Any) -> str:
    """A whole number with separators: ``2,000``."""
    x = finite(value)
    return ABSENT if x is None else f"{x:,.0f}"


def count(value: Any) -> str:
    """A whole number, three digits from 10,000 on: ``9,876``, ``66.4 M``."""
    x = finite(value)
    if x is None or abs(x) < 10_000:
        return whole(value)
    return _scaled(x, ("", " k", " M", " B", " T"))


def size(value: Any) -> str:
    """A number of bytes, in powers of 1,000: ``21.3 MB``."""
    x = finite(value)
    return ABSENT if x is None else _scaled(x, (" bytes", " kB", " MB", " GB", " TB"))


def duration(value: Any) -> str:
    """A number of seconds: ``45.2 s``, ``12 min 5 s``, ``3 h 12 min``, ``2 d 3 h``."""
    x = finite(value)
    if x is None:
        return ABSENT
    if x < 59.95:
        return f"{x:.1f} s"
    seconds, minutes, hours = round(x), round(x / 60), round(x / 3600)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24:,} d {hours % 24} h"


def percent(value: Any) -> str:
    """A share as a percentage: ``78.3 %``."""
    x = finite(value)
    return ABSENT if x is None else f"{100 * x:.1f} %"


def speed(value: Any) -> str:
    """Tokens a second: ``12,345 tokens/s``."""
    return ABSENT if finite(value) is None else f"{pace(value)} tokens/s"


def pace(value: Any) -> str:
    """The number of :func:`speed` without its unit."""
    x = finite(value)
    return whole(x) if x is None or abs(x) < 1e6 else count(x)


def ratio(value: Any, base: Any) -> str:
    """How many times ``base``: ``0.52×``."""
    x, y = finite(value), finite(base)
    if x is None or not y:
        return ABSENT
    return f"{x / y:,.0f}×" if abs(x / y) >= 10 else f"{x / y:#.2g}".rstrip(".") + "×"


def change(value: Any, base: Any) -> str:
    """The difference from ``base`` in per cent of it: ``+12 %``, ``−1.4 %``."""
    x, y = finite(value), finite(base)
    if x is None or not y:
        return ABSENT
    share = 100 * (x / y - 1)
    return f"{share:+,.{0 if abs(share) >= 10 else 1}f} %".replace("-", "−")


def _scaled(x: float, units: tuple[str, ...]) -> str:
    for unit in units:  # noqa: B007 - the last one stays
        if float(f"{abs(x):.3g}") < 1000:
            break
        x /= 1000
    return (f"{x:.0f}" if unit == units[0] else f"{x:#.3g}".rstrip(".")) + unit


@dataclass(frozen=True)
class Measure:
    """What is known of a model: its key in the summary, its name for people, and how it is written and compared."""

    key: str
    label: str
    written: Callable[[Any], str]
    compared: Callable[[Any, Any], str] | None = None


MEASURES = (
    Measure("parameters", "Parameters", count, ratio),
    Measure("bytes", "Size of the weights", size, ratio),
    Measure("layers", "Layers", whole, ratio),
    Measure("dim", "Width", whole, ratio),
    Measure("perplexity", "Held-out perplexity", number, change),
    Measure("kl", "KL from the teacher (nats)", number),
    Measure("agreement", "Agreement with the teacher", percent),
    Measure("tokens_per_second", "Speed (tokens/s)", pace, ratio),
)


METRICS = {
    "accuracy": "Accuracy", "f1_macro": "F1, mean over labels", "f1_micro": "F1, over all labels", "f1": "F1",
    "matthews": "Matthews correlation", "log_loss": "Log loss", "subset_accuracy": "All labels right",
    "pearson": "Pearson correlation", "spearman": "Spearman correlation", "mse": "Mean squared error",
    "precision": "Precision", "recall": "Recall", "token_accuracy": "Accuracy of tags",
    "exact_match": "Exact match (%)", "has_answer_exact_match": "Exact match with an answer (%)",
    "has_answer_f1": "F1 with an answer (%)", "no_answer_exact_match": "Exact match without an answer (%)",
    "no_answer_f1": "F1 without an answer (%)", "perplexity": "Perplexity of masked tokens",
}  # fmt: skip


def metric_name(key: str, task: str = "") -> str:
    """Return a metric's name for people."""
    if task == "question-answering" and key == "f1":
        return "F1 (%)"
    return "F1 of entities" if task == "token-classification" and key == "f1" else METRICS.get(key, key)


@dataclass(frozen=True)
class Comparison:
    """A table: ``header`` names its columns, each row begins with its label."""

    header: list[str]
    rows: list[list[str]]


def comparison(models: Mapping[str, Record], task: str = "") -> Comparison:
    """Return a table with a column for each model and, beside a teacher and a student, how they compare.

    Rows that no model has a value for are left out.
    """
    teacher, student = models.get("teacher"), models.get("student")
    header = ["", *(name.replace("_", " ").capitalize() for name in models)]
    paired = teacher is not None and student is not None
    if paired:
        header.append("Compared")
    rows = []
    known = {measure.key for measure in MEASURES}
    labelled = [key for key in METRICS if key not in known and any(key in model for model in models.values())]
    for measure in (*MEASURES, *(Measure(key, metric_name(key, task), number, change) for key in labelled)):
        values = [model.get(measure.key) for model in models.values()]
        if all(finite(value) is None for value in values):
            continue
        row = [measure.label, *map(measure.written, values)]
        if teacher is not None and student is not None:
            compared = measure.compared
            row.append(compared(student.get(measure.key), teacher.get(measure.key)) if compared else ABSENT)
        rows.append(row)
    return Comparison(header, rows)


def result(
    models: Mapping[str, Record], *, metric: str = "perplexity", task: str = "", where: str = "on this machine"
) -> str:
    """Return what came out, in one sentence; it says only what was measured.

    Args:
        models: the measurements of each model.
        metric: the figure that counts.
        task: what it is a figure of, where that is not text as such.
        where: which machine the speeds are of.
    """
    if "teacher" in models and "student" in models:
        return _distilled(models["teacher"], models["student"], metric, _figure_name(metric, task), where)
    said = []
    for name, model in models.items():
        parts = []
        if finite(model.get("parameters")) is not None:
            parts.append(f"has {count(model['parameters'])} parameters")
        if finite(model.get(metric)) is not None:
            parts.append(f"reaches {_figure_name(metric, task)} of {number(model[metric])}")
        if finite(model.get("tokens_per_second")) is not None:
            parts.append(f"runs at {speed(model['tokens_per_second'])} {where}")
        if parts:
            said.append(f"The {name if 'model' in name else name + ' model'} {listed(parts)}.")
    return " ".join(said) or "Nothing was measured."


def judged(summary: Record) -> dict[str, str]:
    """Return the metric that counts in a run and its task, as :func:`result` takes them."""
    return {"metric": str(summary.get("main_metric", "perplexity")), "task": str(summary.get("task", ""))}


def _figure_name(metric: str, task: str) -> str:
    """Return, for example, ``"a held-out perplexity"`` or ``"an accuracy"``."""
    if not task:
        return "a held-out perplexity"
    name = metric_name(metric, task)
    name = name if name[:2] == "F1" else name[0].lower() + name[1:]
    return f"{'an' if name[0] in 'aeF' else 'a'} {name}"


def _distilled(teacher: Record, student: Record, metric: str, named: str, where: str) -> str:
    parts = []
    if (times := ratio(student.get("parameters"), teacher.get("parameters"))) != ABSENT:
        parts.append(f"has {times} the parameters of its teacher")
    if (times := ratio(student.get("tokens_per_second"), teacher.get("tokens_per_second"))) != ABSENT:
        parts.append(f"runs {times} as fast {where}")
    reached = number(student.get(metric))
    if reached != ABSENT:
        against = change(student.get(metric), teacher.get(metric))
        beside = "" if against == ABSENT else f" against {number(teacher.get(metric))} ({against})"
        parts.append(f"reaches {named} of {reached}{beside}")
    share = percent(student.get("agreement"))
    agreeing = f"the teacher's first choice on {share} of the masked tokens" if share != ABSENT else ""
    if not parts:
        return f"The student agrees with {agreeing}." if agreeing else "Nothing was measured."
    return f"The student {listed(parts)}{', agreeing with ' + agreeing if agreeing else ''}."


def encodable(value: Any) -> str:
    """Return text that UTF-8 can hold: names of files may come with bytes that it cannot."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def listed(parts: list[str]) -> str:
    """Join as in a sentence: ``a``, ``a and b``, ``a, b, and c``."""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
