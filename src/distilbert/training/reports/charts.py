"""Charts as SVG elements of a page, in the page's colours and font; drawn by matplotlib.

matplotlib draws in placeholder colours, which become CSS variables (``--ink``, ``--grid``, ``--c1``, ...), so that a
page can show the chart on a dark ground. The same data gives the same bytes.

Legend: P points, L labels, K bins.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.extras import require
from .number_format import encodable, number, percent, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 331, 188  # in points (1/72 inch)
MOST_POINTS = 300
MOST_MARKERS = 40  # a line of more points has no markers
LOG_FROM = 20.0  # ratio of the largest to the smallest value from which on the scale is logarithmic
LONGEST_NAME = 22
MOST_CLASSES = 12  # of a confusion matrix
MOST_BARS = 30
INK, GRID, LINES = "#0000f0", "#0000f1", ("#0000e1", "#0000e2", "#0000e3", "#0000e4", "#0000e5", "#0000e6")
VARIABLES = {INK: "var(--ink)", GRID: "var(--grid)", **{c: f"var(--c{i})" for i, c in enumerate(LINES, start=1)}}
DASHED = (0, (4, 3))  # points on and off
STYLE = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.0, "svg.fonttype": "none"}


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        name: what it shows.
        steps: of the points, ascending.
        values: of the points; all finite.
        color: index of one of the six colours.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    color: int = 0


@dataclass(frozen=True)
class ThinnedLine:
    """At most :data:`MOST_POINTS` points, each the mean, lowest and highest value of neighbouring records."""

    steps: np.ndarray  # (P,)
    mean: np.ndarray  # (P,)
    low: np.ndarray  # (P,)
    high: np.ndarray  # (P,)
    records: int  # for each point


def thin(steps: Sequence[int], values: Sequence[float], most: int = MOST_POINTS) -> ThinnedLine:
    """Merge neighbouring records until at most ``most`` points are left."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)  # (N,)
    records = records_per_point(len(x), most)
    starts = np.arange(0, len(x), records)  # (P,)
    if len(x) == 0 or records == 1:
        return ThinnedLine(x, y, y, y, records)
    lengths = np.diff(np.append(starts, len(x)))
    return ThinnedLine(
        np.add.reduceat(x, starts) / lengths,
        np.add.reduceat(y, starts) / lengths,
        np.minimum.reduceat(y, starts),
        np.maximum.reduceat(y, starts),
        records,
    )


def records_per_point(records: int, most: int = MOST_POINTS) -> int:
    """Return how many records each point of a line stands for."""
    return max(1, math.ceil(records / most))


def compact(value: float) -> str:
    """A number short enough for an axis: ``1.5k``, ``20M``, ``0.25``, ``5e-4``."""
    if value == 0:
        return "0"
    for unit, size in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.4g}{unit}"
    if abs(value) < 0.9995e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}"


def draw_lines(
    name: str,
    label: str,
    lines: Sequence[Line],
    *,
    last_step: int,
    level: float | None = None,
    may_be_log: bool = False,
    from_zero: bool = False,
    tick: Callable[[float], str] = compact,
) -> str:
    """Return a chart of values over steps as an ``<svg>`` element.

    Args:
        name: unique within the page.
        label: what a screen reader says instead.
        lines: what to draw; at least one of them has a point.
        last_step: end of the horizontal axis, which begins at 0.
        level: height of a dashed line across the chart.
        may_be_log: use a logarithmic scale if all values are positive and lie far apart.
        from_zero: let the vertical axis begin at 0.
        tick: how to write a number at the vertical axis.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    values = [value for line in lines for value in line.values] + ([] if level is None else [level])

    def draw(axes: Axes) -> None:
        for line in lines:
            _draw_line(axes, line)
        if level is not None:
            axes.axhline(level, color=INK, linewidth=1.2, linestyle=DASHED)
        _set_axes(axes, values, last_step, may_be_log, from_zero, tick)

    return draw_svg(name, label, draw, HEIGHT, (0.115, 0.17, 0.865, 0.79))


def _draw_line(axes: Axes, line: Line) -> None:
    points, color = thin(line.steps, line.values), LINES[line.color % len(LINES)]
    if points.records > 1:
        axes.fill_between(points.steps, points.low, points.high, color=color, alpha=0.18, linewidth=0)
    marker = "o" if len(points.steps) <= MOST_MARKERS else ""
    axes.plot(points.steps, points.mean, color=color, linewidth=1.4, marker=marker, markersize=3.2, clip_on=False)


def _set_axes(
    axes: Axes,
    values: Sequence[float],
    last_step: int,
    may_be_log: bool,
    from_zero: bool,
    tick: Callable[[float], str],
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(values), max(values)
    axes.margins(y=0.08)
    if may_be_log and low > 0 and high / low >= LOG_FROM:
        axes.set_yscale("log")
        between = (1.0, 2.0, 5.0) if high / low < 300 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=between, numticks=8))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        if from_zero and low >= 0:
            axes.set_ylim(bottom=0, top=1.08 * high or 1.0)
    axes.set_xlim(0, max(last_step, 1) * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.set_xlabel("step", color=INK, labelpad=2)
    axes.tick_params(which="both", length=0, colors=INK, pad=4)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def confusion_matrix(name: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw (L, L) counts: rows are right labels, columns predicted ones; the shade is the share of the row."""
    counts = np.array(matrix)  # (L, L)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(labels)

    def draw(axes: Axes) -> None:
        for row in range(size):
            for column in range(size):
                color = LINES[0] if row == column else LINES[1]
                axes.fill_between(
                    [column - 0.48, column + 0.48], row - 0.47, row + 0.47,
                    color=color, alpha=0.06 + 0.6 * float(shares[row, column]), linewidth=0,
                )  # fmt: skip
                axes.text(column, row, compact(float(counts[row, column])), ha="center", va="center", color=INK)
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        names = [_short(label) for label in labels]
        axes.set_yticks(range(size), names)
        crowded = sum(map(len, names)) > 45
        axes.set_xticks(range(size), names, rotation=35 if crowded else 0, ha="right" if crowded else "center")
        axes.set_xlabel("predicted", color=INK, labelpad=2)
        _plain_axes(axes, grid="")

    longest = max(map(len, labels))
    bottom = 70 if sum(map(len, labels)) > 45 else 34
    margins = (min(longest, LONGEST_NAME) * 5.4 + 10, bottom, 6, 6)
    label = f"Confusion matrix: {whole(int(np.trace(counts)))} of {whole(int(counts.sum()))} are right."
    return _evaluation_chart(name, label, draw, height=max(HEIGHT, 26 + bottom + 22 * size), margins=margins)


def reliability_diagram(name: str, calibrations: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw accuracy by confidence for each model; on the dashed line they are the same."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=DASHED)
        for color, calibration in zip(LINES, calibrations.values(), strict=False):
            bins = [entry for entry in calibration["bins"] if entry["count"]]
            most = max((entry["count"] for entry in bins), default=1)
            x, y = [entry["confidence"] for entry in bins], [entry["accuracy"] for entry in bins]
            axes.plot(x, y, color=color, linewidth=1.4)
            sizes = [6 + 54 * entry["count"] / most for entry in bins]
            axes.scatter(x, y, sizes, color=color, linewidth=0, clip_on=False)
        _share_axis(axes.xaxis)
        _share_axis(axes.yaxis)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("confidence", color=INK, labelpad=2)
        _plain_axes(axes)

    errors = [f"the expected calibration error of {model} is {number(c['error'])}" for model, c in calibrations.items()]
    return _evaluation_chart(name, f"Reliability diagram, accuracy by confidence: {'; '.join(errors)}.", draw)


def score_histogram(name: str, scores: Mapping[str, Sequence[int]]) -> str:
    """Draw how many right and wrong predictions have which score, in K bins from 0 to 1."""

    def draw(axes: Axes) -> None:
        bins = len(scores["right"])
        centers = (np.arange(bins) + 0.5) / bins
        right, wrong = np.array(scores["right"]), np.array(scores["wrong"])
        axes.bar(centers, right, 0.9 / bins, color=LINES[0], linewidth=0)
        axes.bar(centers, wrong, 0.9 / bins, bottom=right, color=LINES[1], linewidth=0)
        _share_axis(axes.xaxis)
        axes.set_xlim(0, 1)
        axes.set_xlabel("score", color=INK, labelpad=2)
        _number_axis(axes.yaxis)
        _plain_axes(axes)

    right, wrong = (sum(scores[key]) for key in ("right", "wrong"))
    return _evaluation_chart(
        name, f"Histogram of scores: {whole(right)} right and {whole(wrong)} wrong predictions.", draw
    )


def horizontal_bars(
    name: str,
    label: str,
    rows: Sequence[tuple[str, Sequence[tuple[float, float, float]]]],
    *,
    top: float = 1.0,
) -> str:
    """Draw horizontal bars.

    Args:
        name: unique within the page.
        label: what a screen reader says instead.
        rows: a name, and for each model its value and the ends of its interval.
        top: end of the axis, which begins at 0.
    """
    count = max(len(values) for _, values in rows)
    height = 0.8 / count

    def draw(axes: Axes) -> None:
        for row, (_, values) in enumerate(rows):
            for model, (value, low, high) in enumerate(values):
                y = row - 0.4 + (model + 0.5) * height
                axes.barh(y, value, height * 0.86, color=LINES[model], alpha=0.75, linewidth=0)
                if high > low:
                    axes.plot([low, high], [y, y], color=INK, linewidth=1.2)
        axes.set_yticks(range(len(rows)), [_short(text) for text, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, top)
        _share_axis(axes.xaxis) if top == 1 else _number_axis(axes.xaxis)
        _plain_axes(axes, grid="x")

    longest = max(len(text) for text, _ in rows)
    margins = (min(longest, LONGEST_NAME) * 5.4 + 10, 20, 18, 4)
    return _evaluation_chart(name, label, draw, height=max(60, 30 + len(rows) * (9 + 9 * count)), margins=margins)


def scatter(name: str, pairs: Sequence[Sequence[float]], *, one_scale: bool = True) -> str:
    """Draw predicted by expected values; if both have one scale, they are the same on a dashed line."""

    def draw(axes: Axes) -> None:
        expected, predicted = np.array(pairs).T
        if one_scale:
            low = float(min(expected.min(), predicted.min()))
            high = float(max(expected.max(), predicted.max()))
            axes.plot([low, high], [low, high], color=INK, linewidth=1.2, linestyle=DASHED)
        axes.scatter(expected, predicted, 9, color=LINES[0], alpha=0.45, linewidth=0)
        axes.set_xlabel("expected", color=INK, labelpad=2)
        for axis in (axes.xaxis, axes.yaxis):
            _number_axis(axis)
        _plain_axes(axes)

    return _evaluation_chart(name, f"Predicted by expected values of {whole(len(pairs))} examples.", draw)


def _evaluation_chart(
    name: str,
    label: str,
    draw: Callable[[Axes], None],
    *,
    height: float = HEIGHT,
    margins: tuple[float, float, float, float] = (38, 32, 18, 8),
) -> str:
    """Return what ``draw`` draws as an ``<svg>`` element; margins are left, bottom, right and top, in points."""
    left, bottom, right, top = margins
    height = round(height)
    rectangle = left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height
    return draw_svg(name, label, draw, height, rectangle)


def draw_svg(
    name: str,
    label: str,
    draw: Callable[[Axes], None],
    height: int,
    rectangle: tuple[float, float, float, float],
) -> str:
    """Return what ``draw`` draws as an ``<svg>`` element; the axes stand in ``rectangle``, in shares of the drawing."""
    matplotlib = require("matplotlib", "evaluate")
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name, "text.parse_math": False})
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        draw(figure.add_axes(rectangle))
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(drawing.getvalue(), label, height)


def _plain_axes(axes: Axes, grid: str = "y") -> None:
    axes.tick_params(which="both", length=0, colors=INK, pad=4)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(bool(grid) and side == ("left" if grid == "x" else "bottom"))
        spine.set_color(GRID)


def _share_axis(axis: Any) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).replace(".0", "")))


def _number_axis(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))


def _short(text: str) -> str:
    text = encodable(" ".join(text.split()))
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _for_page(svg: str, label: str, height: int) -> str:
    """Return the part of a stand-alone drawing that belongs into a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)  # names such as axes_1, the same in every drawing
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    svg = re.sub("|".join(VARIABLES), lambda match: VARIABLES[match[0]], svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><").strip()
    head = f'<svg role="img" aria-label="{escape(encodable(label))}" viewBox="0 0 {WIDTH} {height}"'
    return re.sub(r"^<svg[^>]*>", lambda _: head + ' xmlns:xlink="http://www.w3.org/1999/xlink">', svg)
