"""A classifier of the mean of a text's tokens, against the PyTorch model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx

from distilbert import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.flax.runner import FlaxRunner
from distilbert.models.pytorch.runner import PytorchRunner
from tests.models.flax.tiny import flax_class
from tests.tiny import tiny_config, tiny_model

BATCH = Batch.of([[5, 9, 7, 3], [8], [4, 4, 6, 2, 90, 11, 12]])


def test_the_mean_is_what_the_head_reads(tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification", classifier_pooling="mean")
    model.save_pretrained(tmp_path)
    sibling = flax_class("ForSequenceClassification").from_pretrained(tmp_path)
    expected = PytorchRunner(model)(BATCH)["logits"]
    ids, mask = BATCH.padded(0)
    np.testing.assert_allclose(sibling(ids, mask).logits, expected, atol=1e-5)
    np.testing.assert_allclose(sibling(ids[2:3]).logits, expected[2:3], atol=1e-5)
    np.testing.assert_allclose(FlaxRunner(sibling, device="cpu")(BATCH)["logits"], expected, atol=1e-5)
    with pytest.raises(InputError, match="needs an attention_mask"):
        sibling(ids, np.ones((3, 1, ids.shape[1], ids.shape[1]), np.int32))


def test_compiled_functions_see_another_pooling() -> None:
    model = flax_class("ForSequenceClassification")(tiny_config("ForSequenceClassification"))
    traced = []

    @nnx.jit
    def logits(model: Any, ids: Any, mask: Any) -> Any:
        traced.append(model.config.classifier_pooling)
        return model(ids, mask).logits

    runner = FlaxRunner(model)
    ids, mask = BATCH.padded(0)
    for pooling in ("cls", "mean", "mean"):
        model.config.classifier_pooling = pooling
        model.config.architectures = [pooling, str(len(traced))]  # as saving does; no reason to trace again
        expected = model(ids, mask).logits
        np.testing.assert_allclose(logits(model, ids, mask), expected, atol=1e-6)
        np.testing.assert_allclose(runner(BATCH)["logits"], expected, atol=1e-6)
    assert traced == ["cls", "mean"]
