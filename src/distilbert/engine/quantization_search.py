"""The search for a quantization: as many products in int8 as a metric allows, and an error if it allows too few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import GateError, InputError
from ..core.runner_protocol import Batch, Runner
from .engine_runner import EngineRunner
from .model_weights import ModelWeights, weights_of
from .precision import has_int8, is_faster
from .quantization import Quantization, calibrate
from .sensitivity import ProgressCallback, rank_by_sensitivity

MIN_SEQUENCES = 32  # to calibrate on
ROUNDING = 1e-9  # in points; 90.0 less 89.5 may come out a little greater than 0.5

Score = Callable[[Runner], float]


@dataclass(frozen=True)
class ScoredSetting:
    """Which products run in int8, and how the model scores with them.

    Attributes:
        float_products: names of the products in floats, the most sensitive first.
        int8_products: number of products in int8.
        score: in points.
        drop: points lost against fp32; negative if int8 scores more.
    """

    float_products: tuple[str, ...]
    int8_products: int
    score: float
    drop: float

    def to_dict(self) -> dict[str, Any]:
        """Return the setting as the JSON of ``distilbert quantize`` shows it."""
        return {
            "floats": self.float_products,
            "int8": self.int8_products,
            "score": self.score,
            "drop": self.drop,
        }


@dataclass(frozen=True)
class SearchResult:
    """What :func:`find_quantization` returns.

    Attributes:
        quantization: the one to use.
        fp32_score: score of the model in fp32.
        best: the setting of ``quantization``.
        settings: every setting that was tried, in order.
    """

    quantization: Quantization
    fp32_score: float
    best: ScoredSetting
    settings: tuple[ScoredSetting, ...]


def find_quantization(
    model: Any,
    calibration: Sequence[Batch],
    score: Score,
    max_drop: float,
    on_progress: ProgressCallback | None = None,
) -> SearchResult:
    """Find a quantization that loses at most ``max_drop`` points.

    First all products run in int8. If that loses too much, the most sensitive ones run in floats: 1, 2, 4, ... of
    them until the model passes, and then fewer by bisection. At least a third of the products must stay in int8.

    Args:
        model: a loaded model, or its weights as the engine reads them.
        calibration: texts like those that the model is for, at least 32 sequences.
        score: returns the points of a runner of this model; more is better, and 100 is perfect.
        max_drop: points that may be lost.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: int8 cannot run here, there are too few sequences, ``max_drop`` is not a number of points, or the
            model scores nothing in fp32.
        GateError: no setting passes.
    """
    check_max_drop(max_drop)
    check_int8()
    weights = weights_of(model)
    sequences = sum(len(batch.lengths) for batch in calibration)
    if sequences < MIN_SEQUENCES:
        raise InputError(
            f"There are {sequences} sequences to calibrate on; at least {MIN_SEQUENCES} are needed, some hundreds "
            "are better."
        )
    report = on_progress or (lambda what, done, total: None)
    fp32_score = score(EngineRunner(weights, "fp32"))
    if not fp32_score > 0:
        raise InputError(
            f"In fp32 the model scores {fp32_score:g} on the metric data, so a drop cannot be measured. Do the labels "
            "and the model belong together?"
        )
    report("calibrating", 0, 1)
    all_int8 = calibrate(weights, calibration, "bf16" if is_faster("bf16") else "fp32")
    search = _Search(weights, all_int8, score, fp32_score, max_drop)
    if not search.passes(0):
        search.most_sensitive = rank_by_sensitivity(weights, all_int8, calibration, report)
        search.run()
    if search.best is None:
        message = _failure_message(search.settings, fp32_score, len(all_int8.ranges), max_drop)
        raise GateError(message, fp32_score, search.settings)
    quantization = all_int8.without(*search.best.float_products)
    return SearchResult(quantization, fp32_score, search.best, tuple(search.settings))


def check_max_drop(max_drop: float) -> None:
    """Check that a drop is a number of points.

    Raises:
        InputError: it is negative, more than 100, or not a number.
    """
    if not 0 <= max_drop <= 100:
        raise InputError(f"The drop allowed must be from 0 to 100 points, got {max_drop:g}.")


def check_int8() -> None:
    """Check that int8 can run here.

    Raises:
        InputError: there are no compiled kernels.
    """
    if not has_int8():
        raise InputError(
            "int8 needs the compiled kernels, and they are not there. Install a wheel, or install from source on a "
            "machine with a C++ compiler."
        )


class _Search:
    """The settings tried so far, and the best one that passed: that with the most products in int8."""

    def __init__(
        self, weights: ModelWeights, all_int8: Quantization, score: Score, fp32_score: float, max_drop: float
    ) -> None:
        self.most_sensitive: list[str] = []
        self.settings: list[ScoredSetting] = []
        self.best: ScoredSetting | None = None
        self._weights, self._all_int8, self._score = weights, all_int8, score
        self._fp32_score, self._max_drop = fp32_score, max_drop

    def passes(self, count: int) -> bool:
        """Score the model with the ``count`` most sensitive products in floats."""
        float_products = tuple(self.most_sensitive[:count])
        quantization = self._all_int8.without(*float_products)
        points = self._score(EngineRunner(self._weights, "int8", quantization=quantization))
        setting = ScoredSetting(float_products, len(quantization.ranges), points, self._fp32_score - points)
        self.settings.append(setting)
        passed = setting.drop <= self._max_drop + ROUNDING
        if passed:
            self.best = setting
        return passed

    def run(self) -> None:
        """Find a count that passes by doubling, then the smallest one by bisection."""
        most = len(self.most_sensitive) * 2 // 3  # with less than a third in int8 there is little to gain
        failed, count = 0, min(1, most)
        while count > failed and not self.passes(count):
            failed, count = count, min(2 * count, most)
        if self.best is None:
            return
        while count - failed > 1:
            middle = (failed + count) // 2
            if self.passes(middle):
                count = middle
            else:
                failed = middle


def _failure_message(settings: Sequence[ScoredSetting], fp32_score: float, products: int, max_drop: float) -> str:
    tried = ", ".join(f"{each.drop:.2f} with {each.int8_products} of {products} products in int8" for each in settings)
    smallest = min(setting.drop for setting in settings)
    return (
        f"int8 may lose {max_drop:g} of the {fp32_score:.2f} points that fp32 scores, and no setting stays within "
        f"that. Tried: a drop of {tried}. The best drop reached is {smallest:.2f}; with less in int8 there is little "
        "to gain over bf16. Allow a larger drop, calibrate on more texts like the metric data, or measure on more data."
    )
