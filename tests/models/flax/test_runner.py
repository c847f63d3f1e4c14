"""Flax behind the runner protocol, against the model itself and the PyTorch runner."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.flax.runner import FlaxRunner, round_up
from distilbert.models.pytorch.runner import PytorchRunner
from tests.models.flax.tiny import close, flax_class, flax_model
from tests.tiny import HEAD_NAMES, tiny_model

SEQUENCES = [[5, 6, 7], [8], list(range(1, 14)), [4, 3, 2, 1, 9], [7, 7]]
ROWS = [[0, 2], [], [1, 12, 3], [4], [0]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("head", HEAD_NAMES)
def test_runners_agree(head: str, dtype: str, tmp_path: Path) -> None:
    model = tiny_model(head)
    model.save_pretrained(tmp_path)
    runner = FlaxRunner(flax_class(head).from_pretrained(tmp_path, dtype=dtype), device="cpu")
    sibling = PytorchRunner(model)
    assert runner.head is sibling.head
    assert runner.config == sibling.config
    assert runner.device.platform == "cpu"
    for rows in (None, ROWS):
        batch = Batch.of(SEQUENCES, rows)
        wanted, got = sibling(batch), runner(batch)
        assert list(got) == list(wanted)
        for name, array in got.items():
            assert array.dtype == np.float32
            assert array.shape == wanted[name].shape
            tolerance = 2e-5 if dtype == "float32" else 0.1 * np.abs(wanted[name]).max()
            close(array, wanted[name], tolerance)


def test_empty_batches_and_sequences() -> None:
    tokens, texts = (
        FlaxRunner(flax_model("ForTokenClassification")),
        FlaxRunner(flax_model("ForSequenceClassification")),
    )
    assert tokens(Batch.of([]))["logits"].shape == (0, 5)
    assert texts(Batch.of([]))["logits"].shape == (0, 5)
    close(tokens(Batch.of([[], [3, 4], []]))["logits"], tokens(Batch.of([[3, 4]]))["logits"])
    with pytest.raises(InputError, match="without tokens cannot be classified"):
        texts(Batch.of([[1], []]))


def test_bad_batches() -> None:
    runner = FlaxRunner(flax_model())
    with pytest.raises(InputError, match="Token ids run from 1 to 97; this model takes 0 to 96"):
        runner(Batch.of([[1, 97]]))
    with pytest.raises(InputError, match="24 tokens and the model knows 23 positions"):
        runner(Batch.of([[1] * 24]))
    assert runner(Batch.of([[1] * 23]))["last_hidden_state"].shape == (23, 24)


def test_answers_come_from_the_weights_of_now() -> None:
    model = flax_model("ForSequenceClassification")
    runner, batch = FlaxRunner(model), Batch.of(SEQUENCES)
    before = runner(batch)["logits"]
    state = runner._state
    model.train()
    close(runner(batch)["logits"], before)
    assert runner._state is state  # nothing was made anew
    model.classifier.bias[...] = model.classifier.bias[...] + 1
    close(runner(batch)["logits"], before + 1)
    assert not model.distilbert.transformer.layer[0].ffn.dropout.deterministic  # training goes on
    nnx.update(model, nnx.state(flax_model("ForSequenceClassification", seed=4)))
    close(runner(batch)["logits"], FlaxRunner(model)(batch)["logits"])
    assert np.abs(runner(batch)["logits"] - before).max() > 0.01
    model.resize_token_embeddings(120)
    model.prune_heads({0: [1]})
    for device in (None, "cpu"):
        new = Batch.of([[110, 3]])
        close(runner(new)["logits"], FlaxRunner(model, device)(new)["logits"])
    model.classifier = nnx.Linear(24, 3, rngs=nnx.Rngs(0))
    assert runner(batch)["logits"].shape == (5, 3)
    twin = copy.deepcopy(runner)
    assert twin.model is not model
    close(twin(batch)["logits"], runner(batch)["logits"])


def test_few_shapes_are_compiled() -> None:
    runner = FlaxRunner(flax_model("ForSequenceClassification"))
    for length in range(13, 17):
        for size in range(5, 7):
            runner(Batch.of([[1] * length] * size))
    assert runner._run._cache_size() == 1


@given(st.integers(0, 5000))
@settings(max_examples=200)
def test_rounding_up(number: int) -> None:
    rounded = round_up(number)
    assert max(1, number) <= rounded <= max(1, 1.5 * number)
    assert round_up(rounded) == rounded
