"""Random numbers of a run do not depend on what else the process trains at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch

from distilbert import finetune
from distilbert.training.seeded_random import seeded
from tests.training.finetuning.tiny_tasks import config_of

from .tiny_run import assert_equal, weights


def test_a_block_draws_alone() -> None:
    together = Barrier(2)

    def draw(seed: int) -> list[torch.Tensor]:
        together.wait()
        drawn = []
        for number in range(200):
            with seeded(1000 * seed + number):
                drawn += [torch.rand(50), torch.rand(50)]
        return drawn

    with ThreadPoolExecutor(2) as pool:
        both = [future.result() for future in [pool.submit(draw, seed) for seed in (1, 2)]]
    together = Barrier(1)
    for seed, drawn in zip((1, 2), both, strict=True):
        assert all(torch.equal(first, second) for first, second in zip(drawn, draw(seed), strict=True))


def test_two_trainings_in_threads_are_two_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.write_results", lambda *arguments: None)

    def train(name: str) -> Path:
        values = {"max_steps": 12, "new_head": "random", "threads": 1}
        return finetune(config_of(tmp_path, output=str(tmp_path / name), **values), verbose=False)

    alone = weights(train("alone"))
    with ThreadPoolExecutor(2) as pool:
        for folder in pool.map(train, ("first", "second")):
            assert_equal(weights(folder), alone)
