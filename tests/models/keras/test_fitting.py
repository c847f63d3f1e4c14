"""Training, evaluating and predicting through Keras, and the runner."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from distilbert import BatchEncoding, InputError, UnknownArgumentError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.models.keras.runner import KerasRunner
from distilbert.models.pytorch.runner import PytorchRunner
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import fresh_keras, inputs, labels, tiny_keras, twin_of
from tests.tiny import HEAD_NAMES, all_but_one_slow, tiny_model

NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "qa_dropout": 0.0, "seq_classif_dropout": 0.0}
WITH_HEADS = [head for head in HEAD_NAMES if head]


def inside(head: str) -> dict[str, np.ndarray]:
    """Labels without those that Keras's own losses cannot pass over."""
    return {name: np.clip(array, 0, 10) for name, array in labels(head).items()}


@pytest.mark.parametrize("head", all_but_one_slow(WITH_HEADS))
def test_the_built_in_loss_falls(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    given = inputs(head) | labels(head)
    exact = float(model(given).loss)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), jit_compile=False)
    assert model.evaluate(given, verbose=0) == pytest.approx(exact, abs=1e-4)
    history = model.fit(given, epochs=5, verbose=0).history["loss"]
    assert history[0] == pytest.approx(exact, abs=1e-4)
    assert history[-1] < 0.8 * history[0]
    targets: Any = tuple(labels(head).values())
    history = model.fit(inputs(head), targets if len(targets) > 1 else targets[0], epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0] < exact


@pytest.mark.parametrize("head", all_but_one_slow(WITH_HEADS))
def test_a_loss_of_keras(head: str) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = None if head == "ForQuestionAnswering" else ["accuracy"]
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss, metrics=metrics, jit_compile=False)
    targets: Any = tuple(inside(head).values())
    own = float(model(inputs(head) | inside(head)).loss)
    first = model.evaluate(inputs(head), targets if len(targets) > 1 else targets[0], verbose=0, return_dict=True)
    scale = 2 if head == "ForQuestionAnswering" else 1  # Keras adds what we average
    assert first["loss"] == pytest.approx(scale * own, abs=1e-4)
    history = model.fit(inputs(head) | inside(head), epochs=4, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_compiled_by_xla_in_every_precision(policy: str) -> None:
    model = twin_of(tiny_model("ForSequenceClassification", **NO_DROPOUT), dtype=policy)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), metrics=["accuracy"], jit_compile=True)
    history = model.fit(inputs() | labels("ForSequenceClassification"), epochs=5, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert model.classifier.kernel.dtype == "float32"


def test_a_dataset_and_what_a_tokenizer_returns() -> None:
    model = tiny_keras("ForSequenceClassification", **NO_DROPOUT)
    model.compile(optimizer=keras.optimizers.SGD(1e-2), jit_compile=False)
    given = inputs() | labels("ForSequenceClassification")
    whole = model.evaluate(BatchEncoding({name: array.tolist() for name, array in given.items()}), verbose=0)
    pairs = tf.data.Dataset.from_tensor_slices((inputs(), given["labels"])).batch(4)
    assert model.evaluate(pairs, verbose=0) == pytest.approx(whole, abs=1e-5)
    assert model.evaluate(tf.data.Dataset.from_tensor_slices(given).batch(4), verbose=0) == pytest.approx(whole, 1e-5)


@pytest.mark.parametrize("kind", [BatchEncoding, dict])
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForQuestionAnswering"])
def test_every_entry_takes_lists(head: str, kind: Any) -> None:
    model = tiny_keras(head, **NO_DROPOUT)
    model.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    exact = pytest.approx(float(model(inputs(head) | labels(head)).loss), abs=1e-4)
    x = kind({name: array.tolist() for name, array in inputs(head).items()})
    with_labels = kind({**x, **{name: array.tolist() for name, array in labels(head).items()}})
    lists = [array.tolist() for array in labels(head).values()]
    y, weights = lists if len(lists) > 1 else lists[0], [1.0] * 4
    validation = [(x, y), [x, y, weights], (with_labels,), with_labels]
    for data in validation:
        assert model.fit(x, y, validation_data=data, verbose=0).history == {"loss": [exact], "val_loss": [exact]}
    for entry in (model.evaluate, model.train_on_batch, model.test_on_batch):
        quiet = {"verbose": 0} if entry == model.evaluate else {}
        assert (entry(x, y, **quiet), entry(with_labels, **quiet)) == (exact, exact)
        assert entry(with_labels, sample_weight=weights, **quiet) == exact


def test_training_a_model_whose_calls_return_tuples() -> None:
    model = tiny_keras("ForSequenceClassification", return_dict=False, **NO_DROPOUT)
    given = inputs() | labels("ForSequenceClassification")
    exact = pytest.approx(float(model(given)[0]), abs=1e-4)
    model.compile(optimizer=keras.optimizers.SGD(0.0), metrics=["accuracy"], jit_compile=False)
    assert model.fit(given, validation_data=(given,), verbose=0).history["val_loss"] == [exact]
    for entry in (model.evaluate, model.train_on_batch, model.test_on_batch):
        assert entry(given, return_dict=True)["loss"] == exact
    assert type(model(given)) is tuple


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_predict_returns_an_output_of_arrays(head: str) -> None:
    model = tiny_keras(head)
    output = model.predict(inputs(head) | labels(head), batch_size=3, verbose=0)
    wanted = model(inputs(head))
    assert type(output) is type(wanted)
    assert_same(output, wanted)
    assert isinstance(output[0], np.ndarray)
    assert_same(model.predict_on_batch(inputs(head)), wanted)


def test_mistakes() -> None:
    model = fresh_keras("ForSequenceClassification")
    model.compile("sgd", jit_compile=False)
    with pytest.raises(InputError, match="no labels to compute a loss from: put labels beside the inputs"):
        model.fit(inputs(), verbose=0)
    with pytest.raises(UnknownArgumentError, match="'lables'. Did you mean 'labels'"):
        model.fit(inputs() | {"lables": np.zeros(4)}, verbose=0)
    with pytest.raises(InputError, match=r"sample_weight of shape \(None, 2\) does not go with labels"):
        model.fit(inputs(), np.zeros(4, int), sample_weight=np.ones((4, 2)), verbose=0)
    encoder = fresh_keras()
    encoder.compile("sgd", jit_compile=False)
    with pytest.raises(InputError, match=r"has no loss of its own: compile\(loss=...\) one"):
        encoder.fit(inputs(), np.zeros(4), verbose=0)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_the_runner_answers_as_pytorch_does(head: str) -> None:
    model = tiny_model(head)
    runner, other = KerasRunner(twin_of(model)), PytorchRunner(model)
    assert (runner.head, runner.config) == (HEADS[head], model.config)
    sequences = [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10, 11, 12, 13], list(range(1, 24))]
    batches = [Batch.of(sequences), Batch.of(sequences[:1]), Batch.of(sequences[1:3])]
    if HEADS[head].per_token:
        batches += [
            Batch.of(sequences, [[0, 2], [1], [3, 4, 6], []]),
            Batch.of([[], [4]]),
            Batch.of(sequences, [[]] * 4),
        ]
    for batch in batches:
        ours, wanted = runner(batch), other(batch)
        assert list(ours) == list(wanted)
        for name, array in ours.items():
            assert array.dtype == np.float32
            assert_close(array, wanted[name], name)
    with pytest.raises(InputError, match="Token ids run from 1 to 97"):
        runner(Batch.of([[1, 97]]))
    with pytest.raises(InputError, match="24 tokens and the model knows 23"):
        runner(Batch.of([[1] * 24]))
    if not HEADS[head].per_token:
        with pytest.raises(InputError, match="without tokens"):
            runner(Batch.of([[1], []]))
