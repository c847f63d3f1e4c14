"""What the engine must do with a model in memory of any framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from distilbert import EngineRunner
from distilbert.core.runner_protocol import Batch, Runner

BATCH = Batch.of([[5, 6, 7, 8], [9, 10], [11] * 20])


def check_follows_the_model(model: Any, runner_of: Callable[[Any], Runner], change: Callable[[], None]) -> None:
    """Check that the engine answers like the framework's runner, also after a change, and prepares weights once."""
    runner = EngineRunner(model, "fp32")
    assert runner.model is model
    before = runner(BATCH)
    _assert_same(before, runner_of(model)(BATCH))
    prepared = runner._prepared
    _assert_same(runner(BATCH), before)
    assert runner._prepared is prepared
    change()
    after = runner(BATCH)
    assert runner._prepared is not prepared
    _assert_same(after, runner_of(model)(BATCH))
    assert any(np.abs(after[name] - before[name]).max() > 1e-3 for name in before)


def _assert_same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-4, atol=1e-4)
