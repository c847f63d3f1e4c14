"""Pictures of an evaluation: matrices, bars, histograms, points; as :mod:`~.charts`, in the colours of the page.

Legend: L labels, K bins.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.extras import require
from .charts import GRID, INK, LINES, STYLE, WIDTH, compact
from .charts import HEIGHT as USUAL
from .charts import _for_page as for_page
from .figures import encodable, number, percent, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONGEST_NAME = 22
MOST_CLASSES = 12  # of a confusion matrix
MOST_BARS = 30


def confusion_matrix(name: str, matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw (L, L) counts: a row what is right, a column what was predicted; shades are shares of the row."""
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
    said = f"Confusion matrix: {whole(int(np.trace(counts)))} of {whole(int(counts.sum()))} are right."
    return _picture(name, said, draw, height=max(USUAL, 26 + bottom + 22 * size), margins=margins)


def reliability(name: str, calibrations: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw accuracy by confidence for each model; the dashed line is where they are the same."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        for color, calibration in zip(LINES, calibrations.values(), strict=False):
            bins = [one for one in calibration["bins"] if one["count"]]
            most = max((one["count"] for one in bins), default=1)
            x, y = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
            axes.plot(x, y, color=color, linewidth=1.4)
            axes.scatter(x, y, [6 + 54 * one["count"] / most for one in bins], color=color, linewidth=0, clip_on=False)
        _share_axis(axes.xaxis)
        _share_axis(axes.yaxis)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("confidence", color=INK, labelpad=2)
        _plain_axes(axes)

    errors = [f"the expected calibration error of {model} is {number(c['error'])}" for model, c in calibrations.items()]
    return _picture(name, f"Reliability diagram, accuracy by confidence: {'; '.join(errors)}.", draw)


def histogram(name: str, scores: Mapping[str, Sequence[int]]) -> str:
    """Draw how many right and wrong predictions have which score: K bins from 0 to 1."""

    def draw(axes: Axes) -> None:
        bins = len(scores["right"])
        places = (np.arange(bins) + 0.5) / bins
        right, wrong = np.array(scores["right"]), np.array(scores["wrong"])
        axes.bar(places, right, 0.9 / bins, color=LINES[0], linewidth=0)
        axes.bar(places, wrong, 0.9 / bins, bottom=right, color=LINES[1], linewidth=0)
        _share_axis(axes.xaxis)
        axes.set_xlim(0, 1)
        axes.set_xlabel("score", color=INK, labelpad=2)
        _number_axis(axes.yaxis)
        _plain_axes(axes)

    right, wrong = (sum(scores[key]) for key in ("right", "wrong"))
    return _picture(name, f"Histogram of scores: {whole(right)} right and {whole(wrong)} wrong predictions.", draw)


def bars(
    name: str,
    said: str,
    rows: Sequence[tuple[str, Sequence[tuple[float, float, float]]]],
    *,
    top: float = 1.0,
) -> str:
    """Draw horizontal bars.

    Args:
        name: tells the charts of a page apart.
        said: what a screen reader says.
        rows: a name, and for each model the value with both ends of its interval.
        top: where the axis ends; it begins at 0.
    """
    count = max(len(values) for _, values in rows)
    height = 0.8 / count

    def draw(axes: Axes) -> None:
        for place, (_, values) in enumerate(rows):
            for model, (value, low, high) in enumerate(values):
                y = place - 0.4 + (model + 0.5) * height
                axes.barh(y, value, height * 0.86, color=LINES[model], alpha=0.75, linewidth=0)
                if high > low:
                    axes.plot([low, high], [y, y], color=INK, linewidth=1.2)
        axes.set_yticks(range(len(rows)), [_short(label) for label, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, top)
        _share_axis(axes.xaxis) if top == 1 else _number_axis(axes.xaxis)
        _plain_axes(axes, grid="x")

    longest = max(len(label) for label, _ in rows)
    margins = (min(longest, LONGEST_NAME) * 5.4 + 10, 20, 18, 4)
    return _picture(name, said, draw, height=max(60, 30 + len(rows) * (9 + 9 * count)), margins=margins)


def points(name: str, pairs: Sequence[Sequence[float]]) -> str:
    """Draw predicted by expected values; the dashed line is where they are the same."""

    def draw(axes: Axes) -> None:
        expected, got = np.array(pairs).T
        low, high = float(min(expected.min(), got.min())), float(max(expected.max(), got.max()))
        axes.plot([low, high], [low, high], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.scatter(expected, got, 9, color=LINES[0], alpha=0.45, linewidth=0)
        axes.set_xlabel("expected", color=INK, labelpad=2)
        for axis in (axes.xaxis, axes.yaxis):
            _number_axis(axis)
        _plain_axes(axes)

    return _picture(name, f"Predicted by expected values of {whole(len(pairs))} examples.", draw)


def _picture(
    name: str,
    label: str,
    draw: Callable[[Axes], None],
    *,
    height: float = USUAL,
    margins: tuple[float, float, float, float] = (38, 32, 18, 8),
) -> str:
    """Return what ``draw`` draws as an ``<svg>`` element; margins are left, bottom, right and top, in points."""
    matplotlib = require("matplotlib", "train")
    from matplotlib.figure import Figure

    left, bottom, right, above = margins
    height = round(height)
    place = left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + above) / height
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE | {"svg.hashsalt": name, "text.parse_math": False})
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        draw(figure.add_axes(place))
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
    return for_page(drawing.getvalue(), label).replace(
        f'viewBox="0 0 {WIDTH} {USUAL}"', f'viewBox="0 0 {WIDTH} {height}"', 1
    )


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
