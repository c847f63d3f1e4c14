"""Training Flax models: a step with optax, rematerialisation, mixed precision, several devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from distilbert.core.schema import HEADS
from tests.models.flax.tiny import QUIET, close, flax_model, inputs, labels
from tests.tiny import HEAD_NAMES, all_but_one_slow


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES[1:]))
def test_steps_of_training_lower_the_loss(head: str, mixed: bool) -> None:
    model = flax_model(head)
    if mixed:
        config = model.config
        model = type(model)(config, dtype=jnp.bfloat16)
    model.train()
    optimizer = nnx.Optimizer(model, optax.adamw(3e-3), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any, batch: Any) -> Any:
        loss, gradients = nnx.value_and_grad(lambda model: model(**batch).loss)(model)
        optimizer.update(model, gradients)
        return loss

    batch = inputs(head) | labels(head)
    losses = [float(step(model, optimizer, batch)) for _ in range(30)]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses
    assert {leaf.dtype for leaf in jax.tree.leaves(model.params)} == {jnp.dtype(jnp.float32)}


def test_fixed_positions_are_not_trained() -> None:
    model = flax_model("ForTokenClassification", sinusoidal_pos_embds=True)
    before = model.get_position_embeddings().embedding.get_value()
    optimizer = nnx.Optimizer(model, optax.sgd(1.0), wrt=nnx.Param)
    batch = inputs() | labels("ForTokenClassification")
    optimizer.update(model, nnx.grad(lambda model: model(**batch).loss)(model))
    close(model.get_position_embeddings().embedding, before, 0)
    assert model.num_parameters() - model.num_parameters(only_trainable=True) == before.size
    assert "position_embeddings" in model.params["distilbert"]["embeddings"]


@pytest.mark.parametrize("head", all_but_one_slow(HEAD_NAMES))
def test_gradient_checkpointing_changes_nothing_but_memory(head: str) -> None:
    model = flax_model(head, **QUIET)
    model.train()
    arguments = inputs(head) | labels(head)

    def loss(model: Any) -> Any:
        output = model(**arguments)
        return output.loss if HEADS[head].name else (output[0] ** 2).mean()

    # Recomputed values are the very same, but XLA fuses them differently, so equal means equal up to rounding.
    plain = jax.tree.leaves(nnx.jit(nnx.grad(loss))(model))
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    for a, b in zip(plain, jax.tree.leaves(nnx.jit(nnx.grad(loss))(model)), strict=True):
        close(a, b, 2e-5)
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    assert "remat" in str(jax.make_jaxpr(jax.grad(lambda p: loss(nnx.merge(graphdef, p, rest, copy=True))))(params))
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_gradient_checkpointing_draws_the_same_dropout_twice() -> None:
    def gradients(remat: bool) -> Any:
        model = flax_model("ForSequenceClassification")
        model.train()
        if remat:
            model.gradient_checkpointing_enable()
        batch = inputs() | labels("ForSequenceClassification")
        first = jax.tree.leaves(nnx.grad(lambda model: model(**batch).loss)(model))
        again = jax.tree.leaves(nnx.grad(lambda model: model(**batch).loss)(model))
        assert any(not jnp.array_equal(a, b) for a, b in zip(first, again, strict=True)), "fresh at every call"
        return first

    for a, b in zip(gradients(False), gradients(True), strict=True):
        close(a, b, 2e-5)


MESH = """
import warnings
warnings.simplefilter("error")
import jax, numpy as np, optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from tests.models.flax.tiny import close, flax_model, inputs, labels

assert len(jax.devices()) == 2
head = "ForSequenceClassification"
batch = inputs() | labels(head)


@nnx.jit
def step(model, optimizer, batch):
    loss, gradients = nnx.value_and_grad(lambda model: model(**batch, deterministic=True).loss)(model)
    optimizer.update(model, gradients)
    return loss


def train(split_weights, mesh):
    model = flax_model(head)
    if mesh is not None:
        def place(path, leaf):
            names = jax.tree_util.keystr(path)
            wide = split_weights and "ffn" in names and "lin1" in names and "kernel" in names
            return jax.device_put(leaf, NamedSharding(mesh, P(None, "devices") if wide else P()))
        nnx.update(model, jax.tree_util.tree_map_with_path(place, nnx.state(model)))
    optimizer = nnx.Optimizer(model, optax.sgd(0.05), wrt=nnx.Param)
    here = batch if mesh is None else jax.device_put(batch, NamedSharding(mesh, P("devices")))
    losses = [float(step(model, optimizer, here)) for _ in range(4)]
    kernel = model.distilbert.transformer.layer[0].ffn.lin1.kernel.get_value()
    assert mesh is None or len(kernel.devices()) == 2
    assert not split_weights or kernel.addressable_shards[0].data.shape == (24, 20)
    return losses, model.params

mesh = Mesh(np.array(jax.devices()), ("devices",))
wanted, params = train(False, None)
for split_weights in (False, True):
    losses, got = train(split_weights, mesh)
    close(losses, wanted)
    jax.tree.map(lambda a, b: close(a, b, 1e-4), got, params)
print("sharded")
"""


def test_sharded_over_two_devices() -> None:
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    result = subprocess.run([sys.executable, "-c", MESH], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "sharded"
