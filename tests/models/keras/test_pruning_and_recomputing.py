"""Pruned heads, and gradients with blocks that are computed twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from distilbert import ConfigError, InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.keras.runner import KerasRunner
from tests.models.assertions import assert_close, assert_same
from tests.models.keras.twins import (
    eager,
    inputs,
    keras_class,
    labels,
    tiny_keras,
    twin_of,
)  # fmt: skip
from tests.tiny import HEAD_NAMES, all_but_one_slow, model_class, tiny_inputs

DROPOUT = {"dropout": 0.3, "attention_dropout": 0.2}


@pytest.mark.parametrize("head", ["", "ForSequenceClassification"])
def test_pruned_heads_equal_pytorch_and_survive_saving(head: str, tmp_path: Path) -> None:
    model = eager(head)
    twin = twin_of(model)
    whole = twin(inputs())
    for each in (model, twin):
        each.prune_heads({0: [0, 2]})
        each.prune_heads({0: np.array([2]), np.int64(1): [1]})
    assert twin.config.pruned_heads == {0: [0, 2], 1: [1]}
    attention = twin.base_model.transformer.layer[0].attention
    assert (attention.q_lin.kernel.shape, attention.out_lin.kernel.shape) == ((24, 8), (8, 24))
    assert attention.q_lin.kernel.path.endswith("transformer/layer_0/attention/q_lin/kernel")
    assert_same(twin(inputs()), model(**tiny_inputs()))
    assert np.abs(twin(inputs())[0] - whole[0]).max() > 1e-3
    assert twin.num_parameters() == model.num_parameters()

    twin.save_pretrained(tmp_path)
    back = keras_class(head).from_pretrained(tmp_path)
    assert back.config.pruned_heads == {0: [0, 2], 1: [1]}
    assert_same(back(inputs()), twin(inputs()), 0)
    theirs = model_class(head).from_pretrained(tmp_path, attn_implementation="eager")
    assert_same(twin(inputs()), theirs(**tiny_inputs()))
    for wrong in ({0: [1]}, {5: [0]}, {1: [7]}):
        with pytest.raises(ConfigError, match="pruned_heads"):
            twin.prune_heads(wrong)
    assert twin.config.pruned_heads == {0: [0, 2], 1: [1]}
    with pytest.raises(InputError, match="needs a model without pruned heads"):
        twin(inputs(), head_mask=np.ones(3))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, with NumPy 2.4
def test_a_pruned_model_trains_and_goes_through_keras_files(tmp_path: Path) -> None:
    model = tiny_keras("ForSequenceClassification", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    frozen = model.distilbert.transformer.layer[1].attention.q_lin
    frozen.trainable = False
    model.prune_heads({1: [0]})
    assert len(model.trainable_weights) == len(model.weights) - 2
    frozen.trainable = True
    assert len(model.trainable_weights) == len(model.weights)
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    history = model.fit(inputs() | labels("ForSequenceClassification"), epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "x.keras")
    assert_same(keras.models.load_model(tmp_path / "x.keras")(inputs()), model(inputs()), 0)
    assert KerasRunner(model)(Batch.of([[1, 2], [3]]))["logits"].shape == (2, 5)


def test_a_runner_answers_with_the_weights_of_now() -> None:
    model, batch = tiny_keras("ForSequenceClassification"), Batch.of([[1, 2], [3, 4]])
    runner = KerasRunner(model)
    before = runner(batch)["logits"]
    prepared = runner._selected_tokens
    model.classifier.bias.assign(model.classifier.bias + 1)
    assert_close(runner(batch)["logits"], before + 1, tolerance=1e-5)
    assert runner._selected_tokens is prepared  # the compiled function reads the weights of the model
    model.prune_heads({0: [1]})
    model.resize_token_embeddings(120)
    for ids in ([[1, 2], [3, 4]], [[110, 3]]):
        assert_close(runner(Batch.of(ids))["logits"], model(np.array(ids)).logits, tolerance=1e-5)


def gradients(model: Any, given: dict[str, Any], how: str) -> tuple[Any, list[Any]]:
    """Loss and gradients of a training step, from the same random numbers each time."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout) and layer.rate:
            layer.seed_generator.state.assign([7, 0])

    def step() -> Any:
        with tf.GradientTape() as tape:
            output = model(given, training=True)
            loss = output.loss if "loss" in output else tf.reduce_mean(output[0] ** 2)
        return loss, tape.gradient(loss, [variable.value for variable in model.trainable_weights])

    if how != "eager":
        step = tf.function(step, jit_compile=how == "xla")
    loss, found = step()
    return loss, [tf.convert_to_tensor(gradient) for gradient in found]


@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES))
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradient_checkpointing_changes_nothing_but_memory(head: str, attention: str) -> None:
    model, given = tiny_keras(head, **DROPOUT), inputs(head) | labels(head)
    model.set_attn_implementation(attention)
    for how in ("eager", "graph", "xla"):
        results = []
        for enable in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
            enable()
            assert model.is_gradient_checkpointing == (enable == model.gradient_checkpointing_enable)
            loss, found = gradients(model, given, how)
            results.append([loss, *found, *(state.value for state in model.non_trainable_variables)])
        names = ["loss", *(v.path for v in model.trainable_weights), *(v.path for v in model.non_trainable_variables)]
        for name, plain, recomputed in zip(names, *results, strict=True):
            assert_close(recomputed, plain, f"{how}: {name}")


def test_blocks_are_computed_twice_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = tiny_keras("ForSequenceClassification"), []
    block = model.distilbert.transformer.layer[1]
    original = block.call
    monkeypatch.setattr(block, "call", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs))
    given = inputs() | labels("ForSequenceClassification")
    gradients(model, given, "eager")
    assert len(calls) == 1
    model.gradient_checkpointing_enable()
    gradients(model, given, "eager")
    assert len(calls) == 3
    model(given)
    assert len(calls) == 4


def test_head_masks_have_gradients_with_checkpointing() -> None:
    model = tiny_keras("ForSequenceClassification", dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    given, found = inputs() | labels("ForSequenceClassification"), []
    for enable in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        enable()
        factors = tf.ones((2, 3))
        with tf.GradientTape() as tape:
            tape.watch(factors)
            loss = model(given, head_mask=factors, training=True).loss
        found.append(tape.gradient(loss, factors))
    assert_close(*found)
    assert np.abs(found[0]).min() > 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_training_with_checkpointing(policy: str) -> None:
    keras.utils.set_random_seed(0)  # of dropout, whose luck decides how far eight steps lead
    model = twin_of(eager("ForSequenceClassification", **DROPOUT), dtype=policy)
    model.gradient_checkpointing_enable()
    model.compile(keras.optimizers.Adam(1e-2), jit_compile=policy != "float32")
    history = model.fit(inputs() | labels("ForSequenceClassification"), epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
