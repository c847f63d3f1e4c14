"""The Keras and Flax models on the GPU against PyTorch on the CPU, each where its framework has a GPU build."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from distilbert import DistilBertForSequenceClassification
from distilbert.core.errors import MissingExtraError
from distilbert.core.runner_protocol import Batch
from distilbert.models.frameworks import FRAMEWORKS
from distilbert.models.pytorch.runner import PytorchRunner

from .setting import SEED, Setting, StageFailed

LIMIT = 1e-2  # of a logit: both frameworks multiply in TF32 on a GPU where they may
LENGTHS = (1, 5, 9, 30)


def run(setting: Setting) -> dict[str, Any]:
    """Return for each sibling the largest difference of a logit, or why it was not run.

    Raises:
        StageFailed: a sibling that ran is further away than the limit.
    """
    torch.manual_seed(SEED)
    folder = setting.classifier()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    random = np.random.default_rng(SEED)
    batch = Batch.of([random.integers(5, model.config.vocab_size, size=length).tolist() for length in LENGTHS])
    expected = PytorchRunner(model)(batch)["logits"]
    figures: dict[str, Any] = {}
    for name in ("flax", "tf"):
        missing = why_not(name, setting.device)
        if missing is not None:
            figures[name] = {"not_run": missing}
            continue
        framework = FRAMEWORKS[name]
        runner = framework.run(framework.model_class("ForSequenceClassification").from_pretrained(folder))
        difference = float(np.abs(runner(batch)["logits"] - expected).max())
        figures[name] = {"device": _device(name), "largest_difference": round(difference, 6)}
    if any(report.get("largest_difference", 0.0) > LIMIT for report in figures.values()):
        raise StageFailed(figures)
    return figures


def why_not(name: str, device: str) -> str | None:
    """Return why a framework cannot run on the device; None if it can."""
    try:
        FRAMEWORKS[name].module()
    except (MissingExtraError, ImportError) as error:
        return str(error)
    if device == "cuda" and not _device(name).lower().startswith(("cuda", "gpu", "/physical_device:gpu")):
        return f"its build sees no GPU, only {_device(name)}"
    return None


def _device(name: str) -> str:
    """Return the first device of a framework."""
    if name == "flax":
        return str(importlib.import_module("jax").devices()[0])
    devices = importlib.import_module("tensorflow").config.list_physical_devices()
    return str(next((d.name for d in devices if d.device_type == "GPU"), devices[0].name))
