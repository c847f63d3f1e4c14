"""The engine on a model in memory: the same answers, also after the model has changed."""

from __future__ import annotations

import copy

import pytest

from distilbert import EngineRunner, InputError
from distilbert.models.keras.runner import KerasRunner
from tests.models.engine_in_memory import check_follows_the_model
from tests.models.keras.twins import keras_class, tiny_keras
from tests.tiny import HEAD_NAMES


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_same_answers_also_after_a_change(head: str) -> None:
    model = tiny_keras(head)

    def shrink() -> None:
        model.set_arrays({name: array * 0.7 for name, array in model.get_arrays().items()})

    check_follows_the_model(model, KerasRunner, shrink)


def test_a_class_that_a_user_wrote_is_refused() -> None:
    class Own(keras_class("ForSequenceClassification")):  # type: ignore[misc]
        pass

    model = tiny_keras("ForSequenceClassification")
    with pytest.raises(InputError, match="a Own runs in its framework"):
        EngineRunner(Own(copy.deepcopy(model.config)))
