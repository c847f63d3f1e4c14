"""The engine on a model in memory: the same answers, also after the model has changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from flax import nnx

from distilbert import EngineRunner, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.flax.layer_factory import WEIGHT_TYPES
from distilbert.models.flax.runner import FlaxRunner
from tests.models.flax.tiny import flax_class, flax_model
from tests.tiny import HEAD_NAMES

BATCH = Batch.of([[5, 6, 7, 8], [9, 10], [11] * 20])


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_same_answers_also_after_a_change(head: str) -> None:
    model = flax_model(head)
    runner = EngineRunner(model, "fp32")
    assert runner.model is model
    before = runner(BATCH)
    assert_same(before, FlaxRunner(model)(BATCH))
    prepared = runner._prepared
    assert_same(runner(BATCH), before)
    assert runner._prepared is prepared
    for _, variable in nnx.iter_graph(model):
        if isinstance(variable, WEIGHT_TYPES):
            variable.set_value(variable.get_value() * 0.7)
    after = runner(BATCH)
    assert runner._prepared is not prepared
    assert_same(after, FlaxRunner(model)(BATCH))
    assert any(np.abs(after[name] - before[name]).max() > 1e-3 for name in before)


def test_a_class_that_a_user_wrote_is_refused() -> None:
    class Own(flax_class("ForSequenceClassification")):  # type: ignore[misc]
        pass

    model = flax_model("ForSequenceClassification")
    with pytest.raises(InputError, match="a Own runs in its framework"):
        EngineRunner(Own(copy.deepcopy(model.config)))
