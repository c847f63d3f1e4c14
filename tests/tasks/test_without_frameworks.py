"""Every task answers from a folder in a process that cannot load a framework."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilbert.tasks import pipeline
from tests.scripts import python_environment

from .inputs import TASKS, inputs_for

SCRIPT = """
import json, sys
for name in ("torch", "tensorflow", "keras", "jax", "flax", "transformers", "pandas", "pyarrow", "sklearn", "datasets"):
    sys.modules[name] = None  # importing it fails
import numpy as np
from distilbert import MissingExtraError, pipeline
answers = {}
for task, (folder, params, inputs) in json.load(sys.stdin).items():
    answering = pipeline(task, folder, precision="fp32", **params)
    assert not answering.runner.is_loaded
    assert (answering.framework, answering.device) == ("pt", "cpu")
    answers[task] = answering(inputs)
    try:
        answering.model
        raise AssertionError("there is no PyTorch")
    except MissingExtraError as error:
        assert "distilbert[torch]" in str(error)
print(json.dumps(answers, default=np.ndarray.tolist))
"""


def test_answers_without_any_framework(model_folder: Callable[[str], Path]) -> None:
    cases = {
        task: (os.fspath(model_folder(model)), params, inputs_for(task, 6)) for task, (model, params) in TASKS.items()
    }
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], input=json.dumps(cases), capture_output=True, text=True,
        timeout=200, check=False, env=python_environment(),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    for task, answers in json.loads(result.stdout).items():
        folder, params, inputs = cases[task]
        expected = pipeline(task, folder, runner="pytorch", **params)(inputs)
        assert_close(answers, expected)


def assert_close(actual: Any, expected: Any) -> None:
    """Check that two answers are the same but for rounding."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(actual[name], value)
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=1e-4, abs=1e-5)
    elif hasattr(expected, "__len__") and not isinstance(expected, str):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other)
    else:
        assert actual == (float(expected) if hasattr(expected, "dtype") else expected) or actual == pytest.approx(
            expected, rel=1e-4, abs=1e-5
        )


def test_the_model_is_loaded_when_it_is_asked_for(model_folder: Callable[[str], Path]) -> None:
    """And from then on its changes count."""
    answering = pipeline("text-classification", model_folder("labels"), precision="fp32")
    before = answering("a film")
    model = answering.model
    assert type(model).__name__ == "DistilBertForSequenceClassification"
    assert answering.runner.is_loaded
    assert answering.model is model
    assert str(answering.device) == "cpu"
    assert answering("a film") == before
    model.classifier.weight.data.mul_(-1)
    model.classifier.bias.data.mul_(-1)
    assert answering("a film") != before


@pytest.mark.parametrize(
    "options",
    [
        {"device": "cpu"}, {"device": -1}, {"device_map": "cpu"}, {"dtype": "float32"}, {"runner": "engine"},
        {"threads": 1}, {"precision": "auto"},
    ],
)  # fmt: skip
def test_options_that_the_engine_takes_without_a_framework(
    options: dict[str, Any], model_folder: Callable[[str], Path]
) -> None:
    assert not pipeline("text-classification", model_folder("labels"), **options).runner.is_loaded


def test_a_head_without_weights_starts_from_random_numbers_in_pytorch(
    model_folder: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(model_folder("encoder"), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": None}))
    answering = pipeline("fill-mask", tmp_path, precision="fp32")
    assert answering.runner.is_loaded
    assert "start from random numbers" in caplog.text
