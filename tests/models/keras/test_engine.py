"""The engine on a model in memory: the same answers, also after the model has changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from distilbert import EngineRunner, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.keras.runner import KerasRunner
from tests.models.keras.twins import keras_class, tiny_keras
from tests.tiny import HEAD_NAMES

BATCH = Batch.of([[5, 6, 7, 8], [9, 10], [11] * 20])


def assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_same_answers_also_after_a_change(head: str) -> None:
    model = tiny_keras(head)
    runner = EngineRunner(model, "fp32")
    assert runner.model is model
    before = runner(BATCH)
    assert_same(before, KerasRunner(model)(BATCH))
    prepared = runner._prepared
    assert_same(runner(BATCH), before)
    assert runner._prepared is prepared
    model.set_arrays({name: array * 0.7 for name, array in model.get_arrays().items()})
    after = runner(BATCH)
    assert runner._prepared is not prepared
    assert_same(after, KerasRunner(model)(BATCH))
    assert any(np.abs(after[name] - before[name]).max() > 1e-3 for name in before)


def test_a_class_that_a_user_wrote_is_refused() -> None:
    class Own(keras_class("ForSequenceClassification")):  # type: ignore[misc]
        pass

    model = tiny_keras("ForSequenceClassification")
    with pytest.raises(InputError, match="a Own runs in its framework"):
        EngineRunner(Own(copy.deepcopy(model.config)))
