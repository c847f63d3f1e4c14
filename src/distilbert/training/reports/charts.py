"""One line chart as an SVG that belongs into a page: its colours and its font are the page's.

Lines are drawn in stand-in colours, which become CSS variables (``--ink``, ``--grid``, ``--c1``, ...), so a page can
show them on a dark ground. The same data gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ...core.extras import require
from .figures import encodable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 331, 188  # points, which are the units of the drawing
MOST_POINTS = 300
FEW_POINTS = 40  # up to here each point is marked
LOG_FROM = 20.0  # largest value by smallest from which a logarithmic scale reads better
INK, GRID, LINES = "#0000f0", "#0000f1", ("#0000e1", "#0000e2", "#0000e3", "#0000e4", "#0000e5", "#0000e6")
VARIABLES = {INK: "var(--ink)", GRID: "var(--grid)", **{c: f"var(--c{i})" for i, c in enumerate(LINES, start=1)}}
STYLE = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.0, "svg.fonttype": "none"}


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        name: what it shows.
        steps: where the points lie, ascending.
        values: how high; all finite.
        color: which of the six colours, from 0 on.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    color: int = 0


@dataclass(frozen=True)
class Thinned:
    """At most :data:`MOST_POINTS` points that stand for more: the mean, lowest and highest of neighbours."""

    steps: np.ndarray  # (P,)
    mean: np.ndarray  # (P,)
    low: np.ndarray  # (P,)
    high: np.ndarray  # (P,)
    each: int  # how many points one stands for


def thin(steps: Sequence[int], values: Sequence[float], most: int = MOST_POINTS) -> Thinned:
    """Draw neighbouring points together until ``most`` are left."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)  # (N,)
    each = records_a_point(len(x), most)
    starts = np.arange(0, len(x), each)  # (P,)
    if len(x) == 0 or each == 1:
        return Thinned(x, y, y, y, each)
    lengths = np.diff(np.append(starts, len(x)))
    return Thinned(
        np.add.reduceat(x, starts) / lengths,
        np.add.reduceat(y, starts) / lengths,
        np.minimum.reduceat(y, starts),
        np.maximum.reduceat(y, starts),
        each,
    )


def records_a_point(records: int, most: int = MOST_POINTS) -> int:
    """How many records a point of a line stands for."""
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


def draw(
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
        name: tells the charts of a page apart.
        label: what a screen reader says instead.
        lines: what to draw; one of them has a point at least.
        last_step: where the horizontal axis ends, which begins at 0.
        level: where to draw a dashed line across.
        may_be_log: take a logarithmic scale where all values are positive and lie far apart.
        from_zero: let the vertical axis begin at 0.
        tick: how to write a number at the vertical axis.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    matplotlib = require("matplotlib", "train")
    from matplotlib.figure import Figure

    values = [value for line in lines for value in line.values] + ([] if level is None else [level])
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name})
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
        axes = figure.add_axes((0.115, 0.17, 0.865, 0.79))
        for line in lines:
            _draw_line(axes, line)
        if level is not None:
            axes.axhline(level, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        _set_axes(axes, values, last_step, may_be_log, from_zero, tick)
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(drawing.getvalue(), label)


def _draw_line(axes: Axes, line: Line) -> None:
    points, color = thin(line.steps, line.values), LINES[line.color % len(LINES)]
    if points.each > 1:
        axes.fill_between(points.steps, points.low, points.high, color=color, alpha=0.18, linewidth=0)
    marker = "o" if len(points.steps) <= FEW_POINTS else ""
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


def _for_page(svg: str, label: str) -> str:
    """Leave of a stand-alone drawing what belongs into a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)  # names such as axes_1, the same in every drawing
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    svg = re.sub("|".join(VARIABLES), lambda found: VARIABLES[found[0]], svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><").strip()
    head = f'<svg role="img" aria-label="{escape(encodable(label))}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return re.sub(r"^<svg[^>]*>", lambda _: head + ' xmlns:xlink="http://www.w3.org/1999/xlink">', svg)
