"""Flax models called as pure functions of their weights, as training loops written for transformers call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.core import freeze
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict, unflatten_dict

from distilbert import InputError, WeightsMismatchError
from distilbert.models.flax import FlaxDistilBertForSequenceClassification, FlaxDistilBertModel
from tests.models.flax.tiny import QUIET, close, flax_class, flax_model, inputs, labels
from tests.tiny import HEAD_NAMES, tiny_config


def first(output: Any) -> Any:
    return output.to_tuple()[0]


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_a_new_model_answers_deterministically_under_plain_jit(head: str) -> None:
    model = flax_class(head)(tiny_config(head))
    answer = jax.jit(lambda batch: first(model(**batch)))
    close(answer(inputs(head)), first(model(**inputs(head))))
    assert jnp.array_equal(answer(inputs(head)), answer(inputs(head)))


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_params_take_the_place_of_the_weights(head: str) -> None:
    model, other = flax_model(head), flax_class(head)(tiny_config(head), seed=5)
    before = model.params
    for params in (other.params, freeze(other.params)):
        close(first(model(**inputs(head), params=params)), first(other(**inputs(head))))
    jax.tree.map(lambda a, b: close(a, b, 0), model.params, before)
    half = model(**inputs(head), params=model.to_bf16(model.params))
    assert first(half).dtype == jnp.float32
    with pytest.raises(WeightsMismatchError, match="missing: .*embeddings/LayerNorm/bias"):
        model(**inputs(head), params={})


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_dropout_is_drawn_from_the_key_alone(head: str) -> None:
    model = flax_model(head)
    keys = jax.random.PRNGKey(1), jax.random.key(1), jax.random.PRNGKey(2)
    same, typed, different = (first(model(**inputs(head), dropout_rng=key, train=True)) for key in keys)
    assert jnp.array_equal(same, typed)
    assert not jnp.array_equal(same, different)
    close(first(model(**inputs(head), dropout_rng=keys[0], train=False)), first(model(**inputs(head))), 0)
    assert not jnp.array_equal(first(model(**inputs(head), train=True)), first(model(**inputs(head), train=True))), (
        "without a key the model draws from its own"
    )


def test_arguments_that_contradict_each_other() -> None:
    model = flax_model()
    with pytest.raises(InputError, match="either train or deterministic"):
        model(**inputs(), train=True, deterministic=True)
    with pytest.raises(InputError, match=r"needs dropout_rng=\.\.\., a new key"):
        model(**inputs(), params=model.params, train=True)
    quiet = flax_model(**QUIET)
    close(quiet(**inputs(), params=quiet.params, train=True)[0], quiet(**inputs())[0], 0)


def test_a_loop_around_a_train_state_lowers_the_loss() -> None:
    head = "ForSequenceClassification"
    model, batch = flax_class(head)(tiny_config(head)), inputs(head)
    targets = jnp.asarray(labels(head)["labels"])
    decayed = unflatten_dict({path: path[-1] not in ("bias", "scale") for path in flatten_dict(model.params)})
    state = TrainState.create(
        apply_fn=model.__call__, params=model.params, tx=optax.adamw(1e-2, mask=lambda params: decayed)
    )

    @jax.jit
    def step(state: Any, dropout_rng: Any) -> Any:
        dropout_rng, next_rng = jax.random.split(dropout_rng)

        def loss(params: Any) -> Any:
            logits = state.apply_fn(**batch, params=params, dropout_rng=dropout_rng, train=True)[0]
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

        value, gradients = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=gradients), value, next_rng

    rng, losses = jax.random.PRNGKey(0), []
    for _ in range(30):
        state, loss, rng = step(state, rng)
        losses.append(float(loss))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses
    logits = model(**batch, params=state.params, train=False).logits
    assert not jnp.array_equal(logits, model(**batch).logits), "the model itself is not trained"


def test_gradients_are_those_of_the_model() -> None:
    head = "ForTokenClassification"
    model, batch = flax_model(head), inputs(head) | labels(head)
    gradients = jax.jit(jax.grad(lambda params: model(**batch, params=params).loss))(model.params)
    model.enable_gradient_checkpointing()
    again = jax.jit(jax.grad(lambda params: model(**batch, params=params).loss))(model.params)
    of_the_model = nnx.to_pure_dict(nnx.grad(lambda model: model(**batch).loss)(model))
    for path, leaf in flatten_dict(gradients).items():
        close(leaf, flatten_dict(again)[path], 2e-5)
        close(leaf, flatten_dict(of_the_model)[tuple(int(name) if name.isdigit() else name for name in path)], 2e-5)


def test_gradient_checkpointing_under_plain_jit() -> None:
    model = flax_model()
    before = model(**inputs())[0]
    model.enable_gradient_checkpointing()
    close(jax.jit(lambda batch: model(**batch)[0])(inputs()), before)


@pytest.mark.parametrize("head", HEAD_NAMES)
def test_a_model_without_weights(head: str) -> None:
    model = flax_class(head)(tiny_config(head), seed=3, _do_init=False)
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(model.params_shape_tree))
    for use in (lambda: model.params, lambda: setattr(model, "params", {}), lambda: model(**inputs(head))):
        with pytest.raises(InputError, match="_do_init=False"):
            use()
    params = model.init_weights(model.key, model.input_shape)
    ready = flax_class(head)(tiny_config(head), seed=3)
    assert flatten_dict(params).keys() == model.required_params == flatten_dict(ready.params).keys()
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda leaf: leaf.shape, model.params_shape_tree)
    ready.params = params
    close(first(model(**inputs(head), params=params)), first(ready(**inputs(head))), 0)
    assert model.num_parameters() == ready.num_parameters()


def test_missing_weights_are_drawn() -> None:
    model = flax_model()
    kept = flatten_dict(model.params)
    dropped = ("transformer", "layer", "1", "ffn", "lin2", "kernel")
    params = model.init_weights(jax.random.key(0), (1, 1), params=unflatten_dict({**kept, dropped: 0}))
    assert flatten_dict(params)[dropped] == 0
    del kept[dropped]
    params = flatten_dict(model.init_weights(jax.random.key(0), (1, 1), params=unflatten_dict(kept)))
    assert params[dropped].shape == (40, 24)
    assert all(params[path] is leaf for path, leaf in kept.items())


def test_loading_without_weights(tmp_path: Path) -> None:
    saved = flax_model("ForSequenceClassification")
    saved.save_pretrained(tmp_path)
    load: Any = FlaxDistilBertForSequenceClassification.from_pretrained
    model, params = load(tmp_path, _do_init=False)
    jax.tree.map(lambda a, b: close(a, b, 0), params, saved.params)
    with pytest.raises(InputError, match="keep the tree that"):
        _ = model.params
    close(model(**inputs(), params=params).logits, saved(**inputs()).logits, 0)
    with pytest.raises(InputError, match="keep the tree that"):
        model.save_pretrained(tmp_path / "again")
    model.save_pretrained(tmp_path / "again", params=params)
    close(load(tmp_path / "again")(**inputs()).logits, saved(**inputs()).logits, 0)


@pytest.mark.parametrize(("method", "dtype"), [("to_bf16", jnp.bfloat16), ("to_fp16", jnp.float16)])
def test_types_of_trees(method: str, dtype: Any, tmp_path: Path) -> None:
    model = FlaxDistilBertModel(tiny_config())
    half = getattr(model, method)(model.params)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype(dtype)}
    assert {leaf.dtype for leaf in jax.tree.leaves(model.to_fp32(half))} == {jnp.dtype(jnp.float32)}
    mask = {path: path[-1] != "scale" for path in flatten_dict(model.params)}
    mixed = flatten_dict(getattr(model, method)(model.params, unflatten_dict(mask)))
    assert all((leaf.dtype == dtype) == mask[path] for path, leaf in mixed.items())
    with pytest.raises(InputError, match="one of them only: pooler"):
        getattr(model, method)(model.params, unflatten_dict({**mask, ("pooler",): True}))
    model.save_pretrained(tmp_path, params=half)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == jnp.dtype(dtype).name
    again = FlaxDistilBertModel.from_pretrained(tmp_path, dtype="auto")
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), again.params, half)


def test_module_is_a_pair_of_pure_functions() -> None:
    model = flax_model("ForMaskedLM")
    given, rng = inputs(), jax.random.PRNGKey(4)
    variables = model.module.init({"params": rng, "dropout": rng}, given["input_ids"], return_dict=False)
    jax.tree.map(lambda a, b: close(a, b, 0), variables["params"], model.init_weights(rng))
    apply = jax.jit(lambda params: model.module.apply({"params": params}, *given.values()).logits)
    close(apply(model.params), model(**given).logits)
    dropped = model.module.apply({"params": model.params}, *given.values(), False, rngs={"dropout": rng})
    assert jnp.array_equal(dropped.logits, model(**given, params=model.params, dropout_rng=rng, train=True).logits)
    assert len(model.module.apply({"params": model.params}, *given.values(), True, True, True, False)) == 3
