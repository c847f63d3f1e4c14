"""Which curves the report of a run shows: from its records to charts with titles and legends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import Line, compact, draw_lines, records_per_point
from .finished_run import FinishedRun, JsonObject, nested
from .models_summary import METRIC_NAMES, metric_name
from .number_format import count, finite, number, percent, whole

Point = tuple[int, Any]  # step and value; None is no value
LARGEST = 1e100  # values beyond it are not drawn; a perplexity of a run that diverged is 1e304
TEACHER_STYLE = "level"  # class of the legend's dashed line


@dataclass(frozen=True)
class Curve:
    """A chart of a page.

    Attributes:
        title: what it shows.
        note: unit, and values that could not be drawn.
        svg: the drawing.
        legend: style class and text of each line.
    """

    title: str
    note: str
    svg: str
    legend: list[tuple[str, str]]


@dataclass(frozen=True)
class _CurveDrawer:
    """Draws charts that share their horizontal axis."""

    last_step: int

    def draw(
        self,
        title: str,
        named_points: Mapping[str, Iterable[Point]],
        *,
        unit: str = "",
        format: Callable[[Any], str] = number,
        teacher: Any = None,
        may_be_log: bool = False,
        from_zero: bool = False,
        with_legend: bool = True,
        tick: Callable[[float], str] = compact,
    ) -> list[Curve]:
        """Return the chart, or nothing if no line has a value to draw.

        Args:
            title: what the chart shows.
            named_points: the points of each line.
            unit: unit of the values.
            format: how to write a value in the legend.
            teacher: the teacher's value, a dashed line.
            with_legend: name the lines and their last values below the chart.
            may_be_log, from_zero, tick: as in :func:`~distilbert.training.reports.charts.draw_lines`.
        """
        lines, not_finite = [], 0
        for color, (name, points) in enumerate(named_points.items()):
            recorded = [(step, value) for step, value in points if value is not None]
            drawable = [(step, y) for step, value in recorded if (y := finite(value)) is not None and abs(y) < LARGEST]
            not_finite += len(recorded) - len(drawable)
            if drawable:
                lines.append(Line(name, [step for step, _ in drawable], [y for _, y in drawable], color))
        if not lines:
            return []
        level = finite(teacher)
        notes = [unit] if unit else []
        if not_finite:
            notes.append(f"{not_finite} {'value' if not_finite == 1 else 'values'} not finite or too large, not drawn")
        svg = draw_lines(
            title, _description(title, lines, level, format), lines, last_step=self.last_step, level=level,
            may_be_log=may_be_log, from_zero=from_zero, tick=tick,
        )  # fmt: skip
        legend = [(f"k{line.color % 6 + 1}", f"{line.name} {format(line.values[-1])}") for line in lines if with_legend]
        if level is not None:
            legend.append((TEACHER_STYLE, f"teacher {format(level)}"))
        return [Curve(title, ", ".join(notes), svg, legend)]


def _description(title: str, lines: Sequence[Line], level: float | None, format: Callable[[Any], str]) -> str:
    """Return what a screen reader says instead of the chart."""
    sentences = []
    for line in lines:
        first, last = format(line.values[0]), format(line.values[-1])
        if len(line.steps) == 1:
            sentences.append(f"{line.name} is {first} at step {whole(line.steps[0])}")
        else:
            sentences.append(
                f"{line.name} goes from {first} at step {whole(line.steps[0])} to {last} at step "
                f"{whole(line.steps[-1])}, between {format(min(line.values))} and {format(max(line.values))}"
            )
    teacher = "" if level is None else f"; the teacher's is {format(level)}"
    return f"Line chart, {title.lower()} by step: {'; '.join(sentences)}{teacher}."


def training_curves(run: FinishedRun) -> list[Curve]:
    """Return the charts of a run, results first; what was not recorded has none."""
    train, evaluations = run.train, run.evaluations
    curves = _CurveDrawer(max((record["step"] for record in (*train, *evaluations)), default=1))
    student = "student" if "student" in run.models else "model"
    term_names = list(dict.fromkeys(name for record in train for name in nested(record, "terms")))
    terms = {
        name: interval_means([(record["step"], nested(record, "terms").get(name)) for record in train])
        for name in term_names
    }
    loss, norm, speed = (interval_means(_points(train, key)) for key in ("loss", "gradient_norm", "tokens_per_second"))
    return [
        *curves.draw(
            "Held-out perplexity", {student: _points(evaluations, "perplexity")},
            teacher=run.models.get("teacher", {}).get("perplexity"), may_be_log=True,
        ),
        *curves.draw(
            "KL from the teacher", {student: _points(evaluations, "kl")}, unit="nats", may_be_log=True
        ),
        *curves.draw(
            "Agreement with the teacher", {student: _points(evaluations, "agreement")},
            unit="same first choice", format=percent, tick=lambda share: f"{100 * share:.4g} %",
        ),
        *_metric_curves(curves, run, student),
        *curves.draw("Training loss", {"loss": loss}, may_be_log=True),
        *(curves.draw("Training loss by term", terms, may_be_log=True) if len(terms) > 1 else []),
        *curves.draw(
            "Learning rate", {"learning rate": _points(train, "learning_rate")}, from_zero=True, with_legend=False
        ),
        *curves.draw("Gradient norm", {"norm": norm}, may_be_log=True),
        *curves.draw("Training speed", {"speed": speed}, unit="tokens/s", format=count, from_zero=True),
    ]  # fmt: skip


def _metric_curves(curves: _CurveDrawer, run: FinishedRun, student: str) -> list[Curve]:
    """Return a chart of each metric of labelled examples."""
    keys = [key for key in METRIC_NAMES if key != "perplexity" and any(key in record for record in run.evaluations)]
    return [
        curve
        for key in keys
        for curve in curves.draw(
            metric_name(key, run.task),
            {student: _points(run.evaluations, key)},
            teacher=run.models.get("teacher", {}).get(key),
            may_be_log=key in ("log_loss", "mse"),
        )
    ]


def interval_means(points: Sequence[Point]) -> list[Point]:
    """Return the points with the last one merged into the one before if it stands for fewer steps.

    A training record stands for the steps since the record before it, of which there are ``log_every``. A run rarely
    ends on such a step: its last record may stand for a single step of two examples, and would draw a spike. The
    merged value is the mean of both, each weighted with its steps.
    """
    drawable = [(step, value) for step, value in points if value is None or finite(value) is not None]
    if len(drawable) < 3 or len(drawable) < len(points):
        return list(points)
    (first, _), (second, before), (last, value) = drawable[-3:]
    interval, rest = second - first, last - second
    if rest >= interval or before is None or value is None:
        return list(points)
    return [*points[:-2], (last, (interval * before + rest * value) / (interval + rest))]


def curve_note(run: FinishedRun) -> str:
    """Return how to read lines whose points stand for several records; empty if there are none."""
    records = max(records_per_point(len(run.train)), records_per_point(len(run.evaluations)))
    return (
        f"Each point is the mean of {records} records; the band goes from the lowest to the highest."
        if records > 1
        else ""
    )


def _points(records: Sequence[JsonObject], key: str) -> list[Point]:
    return [(record["step"], record.get(key)) for record in records]
