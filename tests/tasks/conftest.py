"""Tasks on the tiny models of ``tests/behaviour``, and one input of each kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from distilbert.tasks import pipeline
from tests.behaviour.make_models import make

from .inputs import TASKS

MakeTask = Callable[..., Any]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def folder(name: str) -> Path:
        return make(root, name)

    return folder


@pytest.fixture(scope="session")
def make_task(model_folder: Callable[[str], Path]) -> MakeTask:
    def make_task(name: str, model: str, **params: Any) -> Any:
        return pipeline(name, model_folder(model), **{"precision": "fp32"} | params)

    return make_task


@pytest.fixture(params=list(TASKS))
def name(request: pytest.FixtureRequest) -> str:
    """Each task in turn."""
    return str(request.param)


@pytest.fixture
def task(name: str, make_task: MakeTask) -> Any:
    """A pipeline of each task in turn."""
    model, params = TASKS[name]
    return make_task(name, model, **params)
