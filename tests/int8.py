"""Int8 on CPUs that have no instructions for it: the plain operations multiply in their place."""

from __future__ import annotations

import pytest
import torch

from distilbert.engine import engine_runner, precision, quantization_search
from distilbert.engine.operations import PlainOperations


class PlainInt8(PlainOperations):
    """The plain operations, which here also multiply uint8 by int8 instead of leaving that to oneDNN."""

    name = "plain int8"

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        return dtype == torch.uint8 and depth % 4 == 0


def allow_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine run int8 on any CPU."""
    if precision.has_int8():
        return
    for module in (precision, quantization_search):
        monkeypatch.setattr(module, "has_int8", lambda: True)
    monkeypatch.setattr(engine_runner, "load_operations", PlainInt8)
