"""A classifier of the mean of a text's tokens, against the PyTorch model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilbert import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.models.keras.runner import KerasRunner
from distilbert.models.pytorch.runner import PytorchRunner
from tests.models.keras.twins import fresh_keras, keras_class
from tests.tiny import tiny_model

BATCH = Batch.of([[5, 9, 7, 3], [8], [4, 4, 6, 2, 90, 11, 12]])


def test_the_mean_is_what_the_head_reads(tmp_path: Path) -> None:
    model = tiny_model("ForSequenceClassification", classifier_pooling="mean")
    model.save_pretrained(tmp_path)
    sibling = keras_class("ForSequenceClassification").from_pretrained(tmp_path)
    expected = PytorchRunner(model)(BATCH)["logits"]
    ids, mask = BATCH.padded(0)
    np.testing.assert_allclose(np.asarray(sibling(ids, mask).logits), expected, atol=1e-5)
    np.testing.assert_allclose(np.asarray(sibling(ids[2:3]).logits), expected[2:3], atol=1e-5)
    np.testing.assert_allclose(KerasRunner(sibling)(BATCH)["logits"], expected, atol=1e-5)
    with pytest.raises(InputError, match="needs an attention_mask"):
        sibling(ids, np.ones((3, 1, ids.shape[1], ids.shape[1]), np.int32))


def test_a_runner_sees_another_pooling() -> None:
    model = fresh_keras("ForSequenceClassification")
    runner = KerasRunner(model)
    ids, mask = BATCH.padded(0)
    for pooling in ("cls", "mean"):
        model.config.classifier_pooling = pooling
        np.testing.assert_allclose(runner(BATCH)["logits"], np.asarray(model(ids, mask).logits), atol=1e-6)
