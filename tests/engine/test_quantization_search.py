"""The search for a quantization: which products it leaves in floats, when it stops, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import GateError, InputError, WeightsError
from distilbert.core.runner_protocol import Batch, Runner
from distilbert.engine import quantization_search
from distilbert.engine.engine_runner import EngineRunner
from distilbert.engine.quantization import Quantization, calibrate
from distilbert.engine.quantization_search import SearchResult, find_quantization
from distilbert.engine.sensitivity import rank_by_sensitivity
from distilbert.weights.folder import QUANTIZATION
from tests.any_cpu import allow_int8
from tests.tiny import SIZES, tiny_model

HEAD = "ForSequenceClassification"


@pytest.fixture(autouse=True)
def _int8(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_int8(monkeypatch)


def random_batches(count: int = 48, seed: int = 0) -> list[Batch]:
    generator = np.random.default_rng(seed)
    sequences = [generator.integers(1, SIZES["vocab_size"], generator.integers(2, 20)).tolist() for _ in range(count)]
    return [Batch.of(sequences[start : start + 8]) for start in range(0, count, 8)]


def find(score: Callable[[Runner], float], max_drop: float = 0.5, **changes: Any) -> SearchResult:
    options = {"calibration": random_batches(), "score": score, "max_drop": max_drop}
    return find_quantization(tiny_model(HEAD, n_layers=3), **options | changes)


def int8_products(runner: Any) -> int:
    return 0 if runner.quantization is None else len(runner.quantization.ranges)


def score_that_falls(limit: int, tried: list[int] | None = None) -> Callable[[Runner], float]:
    """A score of 90 that falls by a point if more than ``limit`` products run in int8."""

    def score(runner: Any) -> float:
        if tried is not None:
            tried.append(int8_products(runner))
        return 89.0 if int8_products(runner) > limit else 90.0

    return score


def clip(quantization: Quantization, name: str) -> Quantization:
    """Clip nearly all inputs of one product."""
    inputs = quantization.ranges[name]
    narrow = type(inputs)(inputs.smoothing, inputs.low / 20, inputs.high / 20)
    return Quantization({**quantization.ranges, name: narrow}, quantization.float_precision)


def test_all_products_in_int8_where_that_is_good_enough() -> None:
    precisions: list[str] = []

    def score(runner: Any) -> float:
        precisions.append(runner.precision)
        return 90.0 - 0.5 * (len(precisions) - 1)

    result = find(score)
    assert precisions == ["fp32", "int8"]
    assert len(result.quantization.ranges) == 12
    assert (result.fp32_score, result.best.score, result.best.drop) == (90.0, 89.5, 0.5)
    assert result.best.float_products == ()
    assert result.settings == (result.best,)


def test_a_rounded_difference_passes() -> None:
    scores = iter([64.4, 63.9])  # their difference is 0.5 and a little
    assert 64.4 - 63.9 > 0.5
    assert find(lambda runner: next(scores)).best.int8_products == 12


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (11, [12, 11]),
        (10, [12, 11, 10]),
        (9, [12, 11, 10, 8, 9]),
        (7, [12, 11, 10, 8, 4, 6, 7]),
        (4, [12, 11, 10, 8, 4, 6, 5]),
    ],
)
def test_as_few_products_in_floats_as_pass(limit: int, expected: list[int]) -> None:
    tried: list[int] = []
    result = find(score_that_falls(limit, tried))
    assert tried == [0, *expected]
    assert [setting.int8_products for setting in result.settings] == expected
    assert result.best.int8_products == len(result.quantization.ranges) == limit
    assert result.best.drop == 0
    assert len(result.best.float_products) == 12 - limit
    assert not set(result.best.float_products) & set(result.quantization.ranges)


def test_a_third_of_the_products_must_stay_in_int8() -> None:
    with pytest.raises(
        GateError, match=r"0\.5 of the 90\.00 points.* a drop of 1\.00 with 12 of 12 .*1\.00 with 4 of 12"
    ) as caught:
        find(score_that_falls(3))
    assert "The best drop reached is 1.00" in str(caught.value)
    assert [setting.int8_products for setting in caught.value.settings] == [12, 11, 10, 8, 4]
    assert caught.value.fp32_score == 90.0


def test_the_error_names_the_smallest_drop() -> None:
    scores = iter([90.0, 80.0, 88.5, 70.0, 70.0, 70.0])
    with pytest.raises(GateError, match=r"The best drop reached is 1\.50"):
        find(lambda runner: next(scores))


def test_a_setting_as_json() -> None:
    setting = find(score_that_falls(11)).best
    assert setting.to_dict() == {"floats": setting.float_products, "int8": 11, "score": 90.0, "drop": 0.0}


def test_a_product_whose_range_is_clipped_is_the_most_sensitive() -> None:
    model = tiny_model(HEAD, n_layers=3)
    quantization = calibrate(model, random_batches(), "fp32")
    for name in ("0.lin1", "1.out", "2.lin2"):
        order = rank_by_sensitivity(model, clip(quantization, name), random_batches(), lambda *_: None)
        assert order[0] == name
        assert sorted(order) == sorted(quantization.ranges)


@pytest.mark.parametrize(
    "head", ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", HEAD]
)
def test_every_head(head: str) -> None:
    model = tiny_model(head)
    result = find_quantization(model, random_batches(), score_that_falls(5), 0.5)
    in_int8 = EngineRunner(model, "int8", quantization=result.quantization)
    assert in_int8.quantization is result.quantization
    expected, actual = (runner(random_batches()[0]) for runner in (EngineRunner(model, "fp32"), in_int8))
    for name, array in expected.items():
        assert np.isfinite(actual[name]).all()
        assert np.abs(actual[name] - array).mean() < 0.3 * np.abs(array).mean()


@pytest.mark.parametrize("changes", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}])
def test_labels_that_do_not_exclude_each_other(changes: dict[str, Any]) -> None:
    """A softmax over one label, or over labels that do not exclude each other, would hide every error."""
    model = tiny_model(HEAD, n_layers=3, **changes)
    quantization = clip(calibrate(model, random_batches(), "fp32"), "1.lin1")
    assert rank_by_sensitivity(model, quantization, random_batches(), lambda *_: None)[0] == "1.lin1"


def test_floats_are_bf16_where_that_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for faster, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(quantization_search, "is_faster", lambda name, faster=faster: faster)
        assert find(score_that_falls(99)).quantization.float_precision == precision


def test_a_cpu_without_bf16_runs_what_was_quantized_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(HEAD)
    quantization = calibrate(model, random_batches(), "bf16")
    monkeypatch.setattr("distilbert.engine.engine_runner.has_bf16", lambda: False)
    runner = EngineRunner(model, "int8", quantization=quantization)
    assert runner.precision == "int8"
    in_fp32 = EngineRunner(model, "int8", quantization=Quantization(quantization.ranges, "fp32"))
    assert np.array_equal(runner(random_batches()[0])["logits"], in_fp32(random_batches()[0])["logits"])


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    unused = pytest.fail
    with pytest.raises(InputError, match="There are 31 sequences to calibrate on; at least 32 are needed"):
        find(unused, calibration=random_batches(31))
    with pytest.raises(InputError, match="There are 0 sequences"):
        find(unused, calibration=[])
    for drop in (-0.1, 101.0, float("nan")):
        with pytest.raises(InputError, match="must be from 0 to 100 points"):
            find(unused, max_drop=drop)
    with pytest.raises(InputError, match="In fp32 the model scores 0 on the metric data"):
        find(lambda runner: 0.0)
    monkeypatch.setattr(quantization_search, "has_int8", lambda: False)
    with pytest.raises(InputError, match="int8 needs the compiled kernels"):
        find(unused)


def test_a_file_that_names_an_unknown_precision(tmp_path: Path) -> None:
    Quantization(find(score_that_falls(99)).quantization.ranges, "fp8").save(tmp_path)
    assert (tmp_path / QUANTIZATION).is_file()
    with pytest.raises(WeightsError, match="fp8"):
        Quantization.load(tmp_path)
