"""What transformers 4.57.6 answered, this package answers too: same shapes, texts and places, scores to 1e-5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distilbert.tasks import pipeline
from distilbert.tasks.base import Task

from .make_models import make

RECORDINGS = Path(__file__).parent / "recordings"


def load() -> list[Any]:
    parameters = []
    for path in sorted(RECORDINGS.glob("*.json")):
        cases = json.loads(path.read_text(encoding="utf-8"))
        parameters += [pytest.param(path.stem, case, id=f"{path.stem}-{i}") for i, case in enumerate(cases)]
    return parameters


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def tasks(folder: Path) -> dict[str, Task[Any]]:
    return {}


@pytest.mark.parametrize("use_fast", [True, False], ids=["rust", "python"])
@pytest.mark.parametrize(("name", "case"), load())
def test_recording(name: str, case: dict[str, Any], use_fast: bool, folder: Path, tasks: dict[str, Task[Any]]) -> None:
    key = json.dumps([name, case["model"], case["defaults"], use_fast])
    if key not in tasks:
        path = folder / case["model"]
        path = path if path.is_dir() else make(folder, case["model"])
        tasks[key] = pipeline(name, path, use_fast=use_fast, precision="fp32", **case["defaults"])
    task, inputs = tasks[key], case["inputs"]
    answers = task(**inputs, **case["params"]) if case.get("as_keywords") else task(inputs, **case["params"])
    compare(answers, without_junk(case["outputs"]) if name == "question-answering" else case["outputs"])


def without_junk(outputs: Any) -> Any:
    """Exception: where a context has fewer spans than ``top_k``, transformers lists spans that end before they start,
    or [CLS], as answers of score 0. Here only spans with a probability are answers.
    """
    if not isinstance(outputs, list):
        return outputs
    return [without_junk(o) for o in outputs if not (isinstance(o, dict) and o["score"] == 0)]


def compare(actual: Any, expected: Any, where: str = "answer") -> None:
    if isinstance(expected, dict):
        assert isinstance(actual, dict), where
        assert actual.keys() == expected.keys(), where
        for key in expected:
            compare(actual[key], expected[key], f"{where}[{key!r}]")
    elif isinstance(expected, list):
        assert isinstance(actual, list), where
        assert len(actual) == len(expected), (where, actual, expected)
        for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
            compare(a, b, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=1e-5, abs=1e-5), where
    else:
        assert actual == expected, where
        assert type(actual) is type(expected), where
