"""Which curves a report shows: from the records of a run to titled charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .charts import Line, compact, draw, records_a_point
from .figures import METRICS, count, finite, metric_name, number, percent, whole
from .run_record import Record, RunRecord, part


@dataclass(frozen=True)
class Key:
    """An entry of a chart's legend; ``color`` counts from 0, and None is the dashed line of the teacher."""

    name: str
    value: str
    color: int | None


@dataclass(frozen=True)
class Panel:
    """A chart with its title, what is to know about it, and its legend."""

    title: str
    note: str
    svg: str
    keys: list[Key]


@dataclass(frozen=True)
class _Curves:
    """Draws panels that share the horizontal axis."""

    last_step: int

    def panel(
        self,
        title: str,
        named: Mapping[str, Iterable[tuple[int, Any]]],
        *,
        unit: str = "",
        written: Callable[[Any], str] = number,
        level: float | None = None,
        may_be_log: bool = False,
        from_zero: bool = False,
        keyed: bool = True,
        tick: Callable[[float], str] = compact,
    ) -> list[Panel]:
        """Return the panel, or nothing if no line has a value to draw.

        Args:
            title: what the chart shows.
            named: the points of each line, as pairs of a step and a value; None is no point.
            unit: what the values are counted in.
            written: how to write a value in the legend.
            level: the teacher's value.
            keyed: name the lines and their last values below.
            may_be_log, from_zero, tick: as in :func:`~distilbert.training.reports.charts.draw`.
        """
        lines, bad = [], 0
        for color, (name, points) in enumerate(named.items()):
            there = [(step, value) for step, value in points if value is not None]
            drawn = [(step, y) for step, value in there if (y := finite(value)) is not None]
            bad += len(there) - len(drawn)
            if drawn:
                lines.append(Line(name, [step for step, _ in drawn], [y for _, y in drawn], color))
        if not lines:
            return []
        level = finite(level)
        notes = [unit] if unit else []
        if bad:
            notes.append(f"{bad} {'value' if bad == 1 else 'values'} not finite, not drawn")
        svg = draw(
            title, _described(title, lines, level, written), lines, last_step=self.last_step, level=level,
            may_be_log=may_be_log, from_zero=from_zero, tick=tick,
        )  # fmt: skip
        keys = [Key(line.name, written(line.values[-1]), line.color) for line in lines if keyed]
        if level is not None:
            keys.append(Key("teacher", written(level), None))
        return [Panel(title, ", ".join(notes), svg, keys)]


def _described(title: str, lines: Sequence[Line], level: float | None, written: Callable[[Any], str]) -> str:
    said = []
    for line in lines:
        first, last = written(line.values[0]), written(line.values[-1])
        if len(line.steps) == 1:
            said.append(f"{line.name} is {first} at step {whole(line.steps[0])}")
        else:
            said.append(
                f"{line.name} goes from {first} at step {whole(line.steps[0])} to {last} at step "
                f"{whole(line.steps[-1])}, between {written(min(line.values))} and {written(max(line.values))}"
            )
    teacher = "" if level is None else f"; the teacher's is {written(level)}"
    return f"Line chart, {title.lower()} by step: {'; '.join(said)}{teacher}."


def panels(run: RunRecord) -> list[Panel]:
    """Return the charts of a run, the result first; what was not recorded has none."""
    train, evaluations = run.train, run.evaluations
    curves = _Curves(max((record["step"] for record in (*train, *evaluations)), default=1))
    student = "student" if "student" in run.models else "model"
    terms = list(dict.fromkeys(name for record in train for name in part(record, "terms")))
    by_term = {name: [(record["step"], part(record, "terms").get(name)) for record in train] for name in terms}
    return [
        *curves.panel(
            "Held-out perplexity", {student: _points(evaluations, "perplexity")},
            level=run.models.get("teacher", {}).get("perplexity"), may_be_log=True,
        ),
        *curves.panel(
            "KL from the teacher", {student: _points(evaluations, "kl")}, unit="nats", may_be_log=True
        ),
        *curves.panel(
            "Agreement with the teacher", {student: _points(evaluations, "agreement")},
            unit="same first choice", written=percent, tick=lambda share: f"{100 * share:.4g} %",
        ),
        *_labelled(curves, run, student),
        *curves.panel("Training loss", {"loss": _points(train, "loss")}, may_be_log=True),
        *(curves.panel("Training loss by term", by_term, may_be_log=True) if len(terms) > 1 else []),
        *curves.panel("Learning rate", {"learning rate": _points(train, "learning_rate")}, from_zero=True, keyed=False),
        *curves.panel("Gradient norm", {"norm": _points(train, "gradient_norm")}, may_be_log=True),
        *curves.panel(
            "Training speed", {"speed": _points(train, "tokens_per_second")}, unit="tokens/s", written=count,
            from_zero=True,
        ),
    ]  # fmt: skip


def _labelled(curves: _Curves, run: RunRecord, student: str) -> list[Panel]:
    """Return a chart of each metric of labelled examples."""
    task = str(run.summary.get("task", ""))
    found = [key for key in METRICS if key != "perplexity" and any(key in record for record in run.evaluations)]
    return [
        panel
        for key in found
        for panel in curves.panel(
            metric_name(key, task),
            {student: _points(run.evaluations, key)},
            level=run.models.get("teacher", {}).get(key),
            may_be_log=key in ("log_loss", "mse"),
        )
    ]


def thinning(run: RunRecord) -> str:
    """Return how to read the lines if they stand for more points than they show; else nothing."""
    each = max(records_a_point(len(run.train)), records_a_point(len(run.evaluations)))
    return (
        f"Each point is the mean of {each} records; the band goes from the lowest to the highest." if each > 1 else ""
    )


def _points(records: Sequence[Record], key: str) -> Iterable[tuple[int, Any]]:
    return ((record["step"], record.get(key)) for record in records)
