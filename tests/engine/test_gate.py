"""The gate of int8: which products it leaves in floats, when it stops, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert.core.errors import InputError, WeightsError
from distilbert.core.runner_protocol import Batch, Runner
from distilbert.engine import gate
from distilbert.engine.gate import GateError, Outcome, find_quantization
from distilbert.engine.precision import has_int8
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.engine.ranking import rank
from distilbert.engine.runner import EngineRunner
from distilbert.weights.folder import QUANTIZATION
from tests.tiny import SIZES, tiny_model

pytestmark = pytest.mark.skipif(not has_int8(), reason="this CPU has no int8")
HEAD = "ForSequenceClassification"


def batches(count: int = 48, seed: int = 0) -> list[Batch]:
    draw = np.random.default_rng(seed)
    sequences = [draw.integers(1, SIZES["vocab_size"], draw.integers(2, 20)).tolist() for _ in range(count)]
    return [Batch.of(sequences[start : start + 8]) for start in range(0, count, 8)]


def find(score: Callable[[Runner], float], max_drop: float = 0.5, **changes: Any) -> Outcome:
    return find_quantization(
        tiny_model(HEAD, n_layers=3), **{"calibration": batches(), "score": score, "max_drop": max_drop} | changes
    )


def scored(limit: int, seen: list[int] | None = None) -> Callable[[Runner], float]:
    """A score that falls by a point where more than ``limit`` products run in int8; fp32 has 90."""

    def score(runner: Any) -> float:
        products = len(runner._encoder._scales)
        if seen is not None:
            seen.append(products)
        return 89.0 if products > limit else 90.0

    return score


def test_everything_in_int8_where_that_is_good_enough() -> None:
    precisions: list[str] = []

    def score(runner: Any) -> float:
        precisions.append(runner.precision)
        return 90.0 - 0.5 * (len(precisions) - 1)

    found = find(score)
    assert precisions == ["fp32", "int8"]
    assert len(found.quantization.scales) == 12
    assert (found.full, found.chosen.score, found.chosen.drop, found.chosen.floats) == (90.0, 89.5, 0.5, ())
    assert found.trail == (found.chosen,)


def test_rounding_of_the_scores_fails_nobody() -> None:
    values = iter([64.4, 63.9])  # their difference is 0.5 and a little
    assert 64.4 - 63.9 > 0.5
    assert find(lambda runner: next(values)).chosen.int8 == 12


@pytest.mark.parametrize(
    ("limit", "tried"),
    [
        (11, [12, 11]),
        (10, [12, 11, 10]),
        (9, [12, 11, 10, 8, 9]),
        (7, [12, 11, 10, 8, 4, 6, 7]),
        (4, [12, 11, 10, 8, 4, 6, 5]),
    ],
)
def test_the_smallest_number_that_passes(limit: int, tried: list[int]) -> None:
    seen: list[int] = []
    found = find(scored(limit, seen))
    assert seen == [0, *tried]
    assert [trial.int8 for trial in found.trail] == tried
    assert found.chosen.int8 == len(found.quantization.scales) == limit
    assert found.chosen.drop == 0
    assert len(found.chosen.floats) == 12 - limit
    assert not set(found.chosen.floats) & set(found.quantization.scales)


def test_a_third_must_stay() -> None:
    with pytest.raises(
        GateError, match=r"0\.5 of the 90\.00 points.* a drop of 1\.00 with 12 of 12 .*1\.00 with 4 of 12"
    ) as caught:
        find(scored(3))
    assert "The best drop reached is 1.00" in str(caught.value)
    assert [trial.int8 for trial in caught.value.trail] == [12, 11, 10, 8, 4]
    assert caught.value.full == 90.0


def test_the_best_drop_is_told() -> None:
    values = iter([90.0, 80.0, 88.5, 70.0, 70.0, 70.0])
    with pytest.raises(GateError, match=r"The best drop reached is 1\.50"):
        find(lambda runner: next(values))


def test_the_product_that_hurts_is_found() -> None:
    """A range of one product that clips nearly all of its input is what has to go."""
    model = tiny_model(HEAD, n_layers=3)
    good = calibrate(model, batches(), "fp32")
    for name in ("0.lin1", "1.out", "2.lin2"):
        scale = good.scales[name]
        bad = dataclasses.replace(scale, low=scale.low / 20, high=scale.high / 20)
        broken = Quantization({**good.scales, name: bad}, "fp32")
        order = rank(model, broken, batches(), lambda *_: None)
        assert order[0] == name
        assert sorted(order) == sorted(good.scales)


@pytest.mark.parametrize(
    "head", ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", HEAD]
)
def test_every_head(head: str) -> None:
    model = tiny_model(head)
    found = find_quantization(model, batches(), scored(5), 0.5)
    runner = EngineRunner(model, "int8", quantization=found.quantization)
    wanted, got = (one(batches()[0]) for one in (EngineRunner(model, "fp32"), runner))
    for name, array in wanted.items():
        assert np.isfinite(got[name]).all()
        assert np.abs(got[name] - array).mean() < 0.3 * np.abs(array).mean()


@pytest.mark.parametrize("changes", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_outputs_that_are_no_choice(changes: dict[str, Any]) -> None:
    """A softmax over one label, or over labels that do not exclude each other, would hide every error."""
    model = tiny_model(HEAD, n_layers=3, **changes)
    good = calibrate(model, batches(), "fp32")
    scale = good.scales["1.lin1"]
    bad = dataclasses.replace(scale, low=scale.low / 20, high=scale.high / 20)
    order = rank(model, Quantization({**good.scales, "1.lin1": bad}, "fp32"), batches(), lambda *_: None)
    assert order[0] == "1.lin1"


def test_bf16_beside_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster, beside in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(gate, "bf16_is_faster", lambda faster=faster: faster)
        assert find(scored(99)).quantization.beside == beside


def test_a_cpu_without_bf16_runs_what_another_one_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(HEAD)
    made = calibrate(model, batches(), "bf16")
    monkeypatch.setattr("distilbert.engine.runner.has_bf16", lambda: False)
    runner = EngineRunner(model, "int8", quantization=made)
    assert (runner.precision, runner._encoder.dtype) == ("int8", torch.float32)
    same = EngineRunner(model, "int8", quantization=Quantization(made.scales, "fp32"))
    assert np.array_equal(runner(batches()[0])["logits"], same(batches()[0])["logits"])


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    unused = pytest.fail
    with pytest.raises(InputError, match="There are 31 sequences to calibrate on; at least 32 are needed"):
        find(unused, calibration=batches(31))
    with pytest.raises(InputError, match="There are 0 sequences"):
        find(unused, calibration=[])
    for drop in (-0.1, 101.0, float("nan")):
        with pytest.raises(InputError, match="must be from 0 to 100 points"):
            find(unused, max_drop=drop)
    with pytest.raises(InputError, match="In fp32 the model scores 0 on the metric data"):
        find(lambda runner: 0.0)
    monkeypatch.setattr(gate, "has_int8", lambda: False)
    with pytest.raises(InputError, match="This CPU has no instructions for int8"):
        find(unused)


def test_a_file_that_names_another_precision(tmp_path: Path) -> None:
    found = find(scored(99)).quantization
    dataclasses.replace(found, beside="fp8").save(tmp_path)
    assert (tmp_path / QUANTIZATION).is_file()
    with pytest.raises(WeightsError, match="fp8"):
        Quantization.load(tmp_path)
