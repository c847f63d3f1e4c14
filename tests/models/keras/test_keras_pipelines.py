"""Pipelines over Keras models: steps with tensors of TensorFlow, copies, and saved folders."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from distilbert import TextClassificationPipeline, TFDistilBertForSequenceClassification, pipeline
from tests.behaviour.make_models import make

TEXT = "I love this movie"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return pipeline("text-classification", make(tmp_path_factory.mktemp("tiny"), "labels"), framework="tf")


def test_steps_have_tensors_of_tensorflow(task: Any) -> None:
    assert task.framework == "tf"
    inputs = task.preprocess(TEXT)
    assert isinstance(inputs.input_ids, tf.Tensor)
    assert isinstance(task.forward(inputs).logits, tf.Tensor)
    assert task.postprocess(task.forward(inputs)) == task([TEXT])[0]
    features = pipeline("feature-extraction", task.model, tokenizer=task.tokenizer)(TEXT, return_tensors=True)
    assert isinstance(features, tf.Tensor)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # of Keras
@pytest.mark.parametrize("duplicate", [lambda task: pickle.loads(pickle.dumps(task)), copy.deepcopy], ids=str)
def test_copies_answer_the_same(task: Any, duplicate: Any) -> None:
    copied = duplicate(task)
    assert copied.model is not task.model
    assert copied(TEXT) == task(TEXT)
    assert copied.device == task.device


def test_made_from_a_model_and_saved(task: Any, tmp_path: Path) -> None:
    made = TextClassificationPipeline(task.model, task.tokenizer)
    assert isinstance(made.model, TFDistilBertForSequenceClassification)
    assert made(TEXT) == task(TEXT)
    made.save_pretrained(tmp_path)
    assert pipeline("text-classification", tmp_path, framework="tf")(TEXT) == task(TEXT)
