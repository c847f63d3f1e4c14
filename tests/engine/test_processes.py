"""Runners in other processes: forked with the threads of OpenMP in use, spawned, and in pools."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts import run_until_done

SCRIPT = """
import multiprocessing
import os
import sys
import threading

import numpy as np

from distilbert import DistilBertConfig, DistilBertForSequenceClassification, EngineRunner  # before PyTorch
from distilbert.core.runner_protocol import Batch
from distilbert.models.pytorch.runner import PytorchRunner

import torch

BATCH = Batch.of([list(range(1, 90))] * 16)  # so many tokens that both threads compute
runner = None


def answer(given=None):
    return (given or runner)(BATCH)["logits"]


def send_answer(connection, given=None):
    connection.send(answer(given))


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.manual_seed(0)
    config = DistilBertConfig(vocab_size=97, max_position_embeddings=100, dim=256, n_heads=4, n_layers=2)
    model = DistilBertForSequenceClassification(config).eval()
    runner = {"engine": lambda: EngineRunner(model, "fp32"), "pytorch": lambda: PytorchRunner(model)}[sys.argv[1]]()
    context = multiprocessing.get_context(sys.argv[2])
    given = () if sys.argv[2] == "fork" else (runner,)
    for _ in range(2):  # the parent computes again after a child was made
        expected = answer()
        thread = threading.Thread(target=answer)  # has OpenMP threads of its own
        thread.start()
        thread.join()
        receiver, sender = context.Pipe()
        child = context.Process(target=send_answer, args=(sender, *given), daemon=True)  # so a hanging one ends
        child.start()
        assert receiver.poll(100), "the child hangs"
        np.testing.assert_allclose(receiver.recv(), expected, rtol=1e-5, atol=1e-5)
        child.join()
        assert child.exitcode == 0
    with context.Pool(2) as pool:
        results = [pool.apply_async(answer, given) for _ in range(4)]
        for result in results:
            np.testing.assert_allclose(result.get(100), expected, rtol=1e-5, atol=1e-5)
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("runner", ["engine", "pytorch"])
def test_a_child_answers_like_its_parent(runner: str, method: str, tmp_path: Path) -> None:
    run_until_done(tmp_path, SCRIPT, runner, method)
