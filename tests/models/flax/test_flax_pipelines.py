"""Pipelines over Flax models: steps with tensors of JAX, copies, and saved folders."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import jax
import pytest

from distilbert import FlaxDistilBertForSequenceClassification, TextClassificationPipeline, pipeline
from tests.behaviour.make_models import make

TEXT = "I love this movie"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return pipeline("text-classification", make(tmp_path_factory.mktemp("tiny"), "labels"), framework="flax")


def test_steps_have_tensors_of_jax(task: Any) -> None:
    assert task.framework == "flax"
    inputs = task.preprocess(TEXT)
    assert isinstance(inputs.input_ids, jax.Array)
    assert isinstance(task.forward(inputs).logits, jax.Array)
    assert task.postprocess(task.forward(inputs)) == task([TEXT])[0]
    features = pipeline("feature-extraction", task.model, tokenizer=task.tokenizer)(TEXT, return_tensors=True)
    assert isinstance(features, jax.Array)


@pytest.mark.parametrize("duplicate", [lambda task: pickle.loads(pickle.dumps(task)), copy.deepcopy], ids=str)
def test_copies_answer_the_same(task: Any, duplicate: Any) -> None:
    copied = duplicate(task)
    assert copied.model is not task.model
    assert copied(TEXT) == task(TEXT)
    assert copied.device == task.device


def test_made_from_a_model_and_saved(task: Any, tmp_path: Path) -> None:
    made = TextClassificationPipeline(task.model, task.tokenizer)
    assert isinstance(made.model, FlaxDistilBertForSequenceClassification)
    assert made(TEXT) == task(TEXT)
    made.save_pretrained(tmp_path)
    assert pipeline("text-classification", tmp_path, framework="flax")(TEXT) == task(TEXT)
