from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.behaviour.make_models import make

MakeExport = Callable[..., Path]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models with every head, and a tokenizer each."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("encoder", "masked-lm", "labels", "multi-label", "regression", "entities", "answers", "choices"):
        make(folder, name)
    return folder


@pytest.fixture(scope="session")
def exported(models: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeExport:
    """Exports a model once, all precisions of ONNX into one folder; tests only read what it returns."""
    from distilbert.exporting.exporter import export

    root = tmp_path_factory.mktemp("exported")

    @cache
    def make_one(name: str, to: str, precision: str) -> Path:
        output = root / to / (name if to == "onnx" else f"{name}-{precision}")
        return export(models / name, output, to=to, precision=precision).folder

    def exported_folder(name: str, to: str, precision: str = "fp32") -> Path:
        return make_one(name, to, precision)

    return exported_folder
