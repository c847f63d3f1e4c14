"""The gate of int8: as many products as a metric allows, and an error where it allows too few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.errors import DistilBertError, InputError
from ..core.runner_protocol import Batch, Runner
from .model import PytorchModel
from .precision import bf16_is_faster, has_int8
from .quantization import Quantization, calibrate
from .ranking import Progress, rank
from .runner import EngineRunner

LEAST_SEQUENCES = 32  # to calibrate on
ROUNDING = 1e-9  # of scores: 90.0 less 89.5 may be a little more than 0.5

Score = Callable[[Runner], float]


class GateError(DistilBertError, ArithmeticError):
    """Int8 costs more than was allowed, whichever products are left in floats.

    Attributes:
        full: score of the model in fp32.
        trail: what was tried.
    """

    def __init__(self, message: str, full: float, trail: Sequence[Trial]) -> None:
        super().__init__(message)
        self.full, self.trail = full, tuple(trail)


@dataclass(frozen=True)
class Trial:
    """One setting, and what it scores.

    Attributes:
        floats: products left in floats, the most harmful first.
        int8: how many products run in int8.
        score: in points.
        drop: points lost against fp32; negative where int8 scores more.
    """

    floats: tuple[str, ...]
    int8: int
    score: float
    drop: float


@dataclass(frozen=True)
class Outcome:
    """What :func:`find_quantization` found.

    Attributes:
        quantization: the one that passed.
        full: score of the model in fp32.
        chosen: the setting that passed.
        trail: every setting that was tried, in order.
    """

    quantization: Quantization
    full: float
    chosen: Trial
    trail: tuple[Trial, ...]


def find_quantization(
    model: PytorchModel,
    calibration: Sequence[Batch],
    score: Score,
    max_drop: float,
    on_progress: Progress | None = None,
) -> Outcome:
    """Find a quantization that loses at most ``max_drop`` points.

    All products in int8 are tried first. While that loses too much, those that alone move the model's outputs most on
    the calibration batches are left in floats: 1, 2, 4, ... of them, then by halving the smallest number that passes.
    At least a third of the products must stay in int8.

    Args:
        model: in fp32, on the CPU.
        calibration: texts like those that the model is for; 32 sequences at least.
        score: of a runner of this model, in points: more is better, 100 is perfect.
        max_drop: points that may be lost.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: this CPU has no int8, there is too little to calibrate on, a drop that cannot be, or a
            model whose score in fp32 leaves nothing to lose.
        GateError: no setting passes.
    """
    check_drop(max_drop)
    check_machine()
    sequences = sum(len(batch.lengths) for batch in calibration)
    if sequences < LEAST_SEQUENCES:
        raise InputError(
            f"There are {sequences} sequences to calibrate on; at least {LEAST_SEQUENCES} are needed, some hundreds "
            "are better."
        )
    say = on_progress or (lambda what, done, total: None)
    full = score(EngineRunner(model, "fp32"))
    if not full > 0:
        raise InputError(
            f"In fp32 the model scores {full:g} on the metric data, so no drop could show: do the labels and the model "
            "belong together?"
        )
    say("calibrating", 0, 1)
    everything = calibrate(model, calibration, "bf16" if bf16_is_faster() else "fp32")
    search = _Search(model, everything, score, full, max_drop)
    if not search.passes(0):
        search.order = rank(model, everything, calibration, say)
        search.run()
    chosen = search.best
    if chosen is None:
        raise GateError(_failure(search.trail, full, len(everything.scales), max_drop), full, search.trail)
    return Outcome(everything.without(*chosen.floats), full, chosen, tuple(search.trail))


def check_drop(max_drop: float) -> None:
    """Check that a drop is a number of points.

    Raises:
        InputError: it is negative, more than 100, or not a number.
    """
    if not 0 <= max_drop <= 100:
        raise InputError(f"The drop allowed must be from 0 to 100 points, got {max_drop:g}.")


def check_machine() -> None:
    """Check that this CPU can run what is to be measured.

    Raises:
        InputError: it has no instructions for int8.
    """
    if not has_int8():
        raise InputError(
            "This CPU has no instructions for int8 (VNNI, AVX-VNNI or AMX), so what int8 costs cannot be measured "
            "here. Quantize on one that has them; the folder then loads everywhere."
        )


class _Search:
    """Tries settings, each once."""

    def __init__(
        self, model: PytorchModel, everything: Quantization, score: Score, full: float, max_drop: float
    ) -> None:
        self.order: list[str] = []
        self.trail: list[Trial] = []
        self.best: Trial | None = None
        self._model, self._everything, self._score = model, everything, score
        self._full, self._max_drop = full, max_drop

    def passes(self, left_out: int) -> bool:
        """Try without the first ``left_out`` of the order."""
        floats = tuple(self.order[:left_out])
        setting = self._everything.without(*floats)
        scored = self._score(EngineRunner(self._model, "int8", quantization=setting))
        trial = Trial(floats, len(setting.scales), scored, self._full - scored)
        self.trail.append(trial)
        passed = trial.drop <= self._max_drop + ROUNDING
        if passed:
            self.best = trial
        return passed

    def run(self) -> None:
        """Find a number that passes by doubling, then the smallest by halving."""
        most = len(self.order) * 2 // 3  # with less than a third in int8 there is little to gain
        failed, number = 0, min(1, most)
        while number > failed and not self.passes(number):
            failed, number = number, min(2 * number, most)
        if self.best is None:
            return
        while number - failed > 1:
            middle = (failed + number) // 2
            if self.passes(middle):
                number = middle
            else:
                failed = middle


def _failure(trail: Sequence[Trial], full: float, products: int, max_drop: float) -> str:
    tried = ", ".join(f"{trial.drop:.2f} with {trial.int8} of {products} products in int8" for trial in trail)
    best = min(trail, key=lambda trial: trial.drop)
    return (
        f"int8 may lose {max_drop:g} of the {full:.2f} points that fp32 scores, and no setting stays within that. "
        f"Tried: a drop of {tried}. The best drop reached is {best.drop:.2f}; with less in int8 there is little to "
        "gain over bf16. Allow a larger drop, calibrate on more texts like the metric data, or measure on more data."
    )
