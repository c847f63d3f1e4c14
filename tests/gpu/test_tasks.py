"""Every task by ``pipeline(device=0, torch_dtype=torch.float16)``: the labels, spans and offsets of the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from distilbert import pipeline
from distilbert.models.pytorch.runner import CudaRunner
from tests.behaviour.make_models import make
from tests.tasks.inputs import TASKS, close, inputs_for

from .device import FILES, HALF, NUMBER, ON_CPU, TINY, half, on_gpu

pytestmark = on_gpu
ROOT = Path(__file__).parents[2]
SST2 = ROOT / "packages" / "distilbert-mini-sst2" / "src" / "distilbert_mini_sst2" / "model"
SCORES = {"fp16": 0.02, "bf16": 0.15}  # largest difference of a score of these tiny models with large weights
COUNT = 24
# Answers that the tiny models, whose weights are noise, give with scores so close that rounding decides.
NEAR_TIES = {"fp16": 2, "bf16": 8}


@half
@pytest.mark.parametrize("name", TASKS)
def test_answers_of_the_cpu(name: str, half: str, tmp_path: Path) -> None:
    model, params = TASKS[name]
    folder = make(tmp_path, model)
    inputs = inputs_for(name, COUNT, seed=5)
    expected = pipeline(name, folder, precision="fp32", **params)(inputs)
    task = pipeline(name, folder, device=NUMBER, torch_dtype=HALF[half], **params)
    assert ON_CPU or isinstance(task.runner, CudaRunner)
    assert task.model.dtype == HALF[half]
    answers = task(inputs)
    different = [i for i, (a, b) in enumerate(zip(answers, expected, strict=True)) if not close(a, b, SCORES[half])]
    assert len(different) <= NEAR_TIES[half], [(answers[i], expected[i]) for i in different]


@half
def test_labels_of_a_trained_model(half: str) -> None:
    """On real sentences: the label of the CPU in fp32 for all but the few that the model itself is unsure of."""
    if not (FILES / "sentences.jsonl").exists():
        pytest.skip("the sentences are not here; `make gpu` names their folder")
    lines = (FILES / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    sentences = [json.loads(line) for line in lines][: 16 if TINY else None]
    expected = pipeline("text-classification", SST2, precision="fp32")(sentences)
    answers = pipeline("text-classification", SST2, device=NUMBER, torch_dtype=HALF[half])(sentences)
    for text, a, b in zip(sentences, answers, expected, strict=True):
        assert a["label"] == b["label"] or b["score"] < {"fp16": 0.51, "bf16": 0.55}[half], text
        assert a["label"] != b["label"] or abs(a["score"] - b["score"]) < {"fp16": 0.01, "bf16": 0.05}[half], text


def test_long_texts_and_streams(tmp_path: Path) -> None:
    """Windows of texts that are longer than the model, from a generator, in order."""
    folder = make(tmp_path, "labels")
    texts = ["the river is big and the water was good for john " * (1 + 7 * (i % 3)) for i in range(50)]
    expected = pipeline("text-classification", folder, precision="fp32")(texts)
    task: Any = pipeline("text-classification", folder, device=NUMBER, torch_dtype=torch.float16)
    answers = list(task(text for text in texts))
    assert close(answers, expected, SCORES["fp16"])
