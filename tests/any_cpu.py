"""bf16 and int8 on CPUs that have no instructions for them: NumPy multiplies in their place."""

from __future__ import annotations

import pytest

from distilbert.engine import engine_runner, precision, quantization_search


def allow_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine run bf16 on any CPU."""
    for module in (precision, engine_runner):
        monkeypatch.setattr(module, "has_bf16", lambda: True)


def allow_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine run int8 on any CPU, and choose it for models that are quantized."""
    for module in (precision, quantization_search):
        monkeypatch.setattr(module, "has_int8", lambda: True)
    faster = precision.is_faster
    monkeypatch.setattr(precision, "is_faster", lambda name: name == "int8" or faster(name))
