"""Random numbers of a run do not depend on what else the process trains at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from distilbert import finetune
from distilbert.data.examples import TextExample
from distilbert.training.fitting.contrastive_tuning import tune_encoder
from distilbert.training.seeded_random import RandomStream, seeded
from tests.training.finetuning.tiny_tasks import config_of

from .tiny_run import assert_equal, weights, write_model


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


def test_a_stream_goes_on_where_its_last_block_ended() -> None:
    torch.manual_seed(1)
    expected = torch.rand(6)
    torch.manual_seed(2)
    outside = torch.rand(6)
    torch.manual_seed(2)
    stream, drawn, others = RandomStream(1), [], []
    for _ in range(3):
        with stream.drawn():
            drawn.append(torch.rand(2))
        others.append(torch.rand(2))
    assert torch.equal(torch.cat(drawn), expected)
    assert torch.equal(torch.cat(others), outside)


def test_two_tunings_in_threads_are_two_tunings(tmp_path: Path) -> None:
    model = Path(write_model(tmp_path / "model"))
    examples = [TextExample("", f"{'a b c' if number % 2 else 'd e f'} {number}") for number in range(16)]
    labels = np.arange(16) % 2

    def tune(name: str) -> Path:
        tune_encoder(model, tmp_path / name, examples, labels, steps=12, seed=3, threads=1, on_step=lambda *_: None)
        return tmp_path / name

    alone = weights(tune("alone"))
    with ThreadPoolExecutor(2) as pool:
        for folder in pool.map(tune, ("first", "second")):
            assert_equal(weights(folder), alone)


def test_two_trainings_in_threads_are_two_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.write_results", lambda *arguments: None)

    def train(name: str) -> Path:
        values = {"max_steps": 12, "new_head": "random", "threads": 1}
        return finetune(config_of(tmp_path, output=str(tmp_path / name), **values), verbose=False)

    alone = weights(train("alone"))
    with ThreadPoolExecutor(2) as pool:
        for folder in pool.map(train, ("first", "second")):
            assert_equal(weights(folder), alone)
