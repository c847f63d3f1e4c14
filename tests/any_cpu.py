"""bf16 and int8 on CPUs that have no instructions for them: plain operations multiply in their place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from distilbert.engine import engine_runner, precision, quantization_search
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import PackedProduct, PlainOperations


class PlainInt8:
    """The fastest operations of this machine, with products in int8 by the plain operations."""

    def __init__(self) -> None:
        self._fastest, self._plain = load_operations(), PlainOperations()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fastest, name)

    def multiplies(self, dtype: torch.dtype, depth: int) -> bool:
        return depth % 4 == 0 if dtype == torch.uint8 else self._fastest.multiplies(dtype, depth)

    def multiply(self, x: Tensor, product: PackedProduct) -> Tensor:
        return (self._plain if x.dtype == torch.uint8 else self._fastest).multiply(x, product)


def allow_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine run bf16 on any CPU; PyTorch's own operators multiply where oneDNN cannot."""
    for module in (precision, engine_runner):
        monkeypatch.setattr(module, "has_bf16", lambda: True)


def allow_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine run int8 on any CPU."""
    if precision.has_int8():
        return
    for module in (precision, quantization_search):
        monkeypatch.setattr(module, "has_int8", lambda: True)
    monkeypatch.setattr(engine_runner, "load_operations", PlainInt8)
