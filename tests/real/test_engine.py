"""The engine with the model that this project ships, on the whole development set of SST-2."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from distilbert import installed_models, pipeline
from distilbert.core.runner_protocol import Batch
from distilbert.engine.precision import available_precisions
from distilbert.tasks.batching import cut_batches
from tests.real.data import sentences

MODEL = "distilbert-mini-sst2"
pytestmark = pytest.mark.skipif(MODEL not in installed_models(), reason=f"{MODEL} is not installed")


@cache
def logits(**options: Any) -> np.ndarray:
    task = pipeline("text-classification", MODEL, **options)
    ids = task.tokenizer.encode_ids(sentences("sst2", 872))
    outputs = np.full((len(ids), task.config.num_labels), np.nan, np.float32)
    for batch in cut_batches([len(sequence) for sequence in ids], 2048):
        outputs[batch] = task.runner(Batch.of([ids[index] for index in batch]))["logits"]
    assert np.isfinite(outputs).all()
    return outputs


def test_fp32_equals_the_plain_runner() -> None:
    np.testing.assert_allclose(logits(precision="fp32"), logits(runner="pytorch"), rtol=0, atol=1e-5)


def test_bf16_changes_at_most_two_labels() -> None:
    if not available_precisions()["bf16"]:
        pytest.skip("this CPU has no instructions for bf16")
    changed = logits(precision="bf16").argmax(axis=1) != logits(precision="fp32").argmax(axis=1)
    assert changed.sum() <= 2
