"""The engine on a model in memory: the same answers, also after the model has changed."""

from __future__ import annotations

import copy

import pytest
from flax import nnx

from distilbert import EngineRunner, InputError
from distilbert.models.flax.layer_factory import WEIGHT_TYPES
from distilbert.models.flax.runner import FlaxRunner
from tests.models.engine_in_memory import check_follows_the_model
from tests.models.flax.tiny import flax_class, flax_model
from tests.tiny import HEAD_NAMES


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_same_answers_also_after_a_change(head: str) -> None:
    model = flax_model(head)

    def shrink() -> None:
        for _, variable in nnx.iter_graph(model):
            if isinstance(variable, WEIGHT_TYPES):
                variable.set_value(variable.get_value() * 0.7)

    check_follows_the_model(model, FlaxRunner, shrink)


def test_a_class_that_a_user_wrote_is_refused() -> None:
    class Own(flax_class("ForSequenceClassification")):  # type: ignore[misc]
        pass

    model = flax_model("ForSequenceClassification")
    with pytest.raises(InputError, match="a Own runs in its framework"):
        EngineRunner(Own(copy.deepcopy(model.config)))
