"""Where the tests of this folder run: a CUDA GPU, or the CPU for a rehearsal.

``python -m benchmarks.gpu`` sets the variables; without them the tests run on a GPU with tiny models, or are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

NAME = os.environ.get("DISTILBERT_GPU_DEVICE", "cuda")
ON_CPU = NAME == "cpu"
TINY = not os.environ.get("DISTILBERT_GPU_FILES") or bool(os.environ.get("DISTILBERT_GPU_TINY"))
FILES = Path(os.environ.get("DISTILBERT_GPU_FILES", "."))
DEVICE = torch.device("cpu") if ON_CPU else torch.device("cuda", 0)
NUMBER = -1 if ON_CPU else 0  # as in pipeline(device=0)
HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}

missing = not ON_CPU and not torch.cuda.is_available()
on_gpu: Any = [
    pytest.mark.gpu,
    pytest.mark.skipif(missing, reason="no CUDA GPU is here; `make gpu DEVICE=cpu TINY=1` rehearses on the CPU"),
]
half = pytest.mark.parametrize("half", HALF)


def distance(got: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the largest difference as a part of the largest exact number."""
    got, exact = got.double().cpu(), exact.double().cpu()
    return float((got - exact).abs().max() / exact.abs().max().clamp_min(1e-12))
