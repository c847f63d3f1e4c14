"""Tiny models, a tiny corpus and settings for training runs that take milliseconds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from distilbert.cli import invoke
from distilbert.training.distill_config import DistillConfig
from tests.data.corpora import LETTERS, tokenizer, write_text
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[2]
SPEEDS = ("seconds", "tokens_per_second")
Record = dict[str, Any]


def write_model(folder: Path, head: str = "ForMaskedLM", seed: int = 0, **changes: Any) -> str:
    """Write a folder with a tiny model of three layers, to pick from, and the tokenizer of letters."""
    tiny_model(head, seed, **{"n_layers": 3, **changes}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def write_corpus(path: Path, documents: int = 60, seed: int = 0) -> str:
    """Write documents in which each letter depends on the one before, so that there is something to learn."""
    draw = random.Random(seed)
    written = []
    for _ in range(documents):
        place, letters = draw.randrange(26), []
        for _ in range(draw.randrange(5, 60)):
            place = (place + draw.choice((1, 1, 1, 3))) % 26
            letters.append(LETTERS[place])
        written.append([" ".join(letters)])
    return str(write_text(path, written))


def settings(folder: Path, **changes: Any) -> Record:
    """Settings of both classes: four steps of eight sequences, two per micro-batch; an evaluation every second step."""
    text = folder / "text.txt"
    if "data" not in changes and not text.exists():
        write_corpus(text)
    return {
        "data": [str(text)],
        "output": str(folder / "run"),
        "sequence_length": 12,
        "tokens_per_step": 96,
        "micro_tokens": 24,
        "max_steps": 4,
        "max_held_out": 6,
        "held_out": 0.1,
        "learning_rate": 0.01,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "device": "cpu",
        "chunk": 7,
        **changes,
    }


def read_metrics(folder: str | Path) -> list[Record]:
    """The records of a run without the values that differ between equal runs."""
    lines = (Path(folder) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in SPEEDS} for line in lines]


def read_tensors(folder: str | Path, step: int) -> dict[str, torch.Tensor]:
    """The weights at the end of a run, and the other tensors of its last checkpoint."""
    checkpoint = Path(folder) / "checkpoints" / f"step-{step}"
    return load_file(Path(folder) / "model.safetensors") | load_file(checkpoint / "training.safetensors")


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    """Compare tensors bit for bit."""
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def options(values: Record) -> list[str]:
    """Settings as arguments of the command."""
    arguments = []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments += [flag] if value else []
        elif name == "data":
            arguments += [flag, *value]
        elif isinstance(value, dict):
            arguments += [flag, ",".join(f"{key}={number}" for key, number in value.items())]
        else:
            arguments += [flag, str(value)]
    return arguments


def start(arguments: Sequence[str], processes: int = 1, launcher: bool = True, **streams: Any) -> subprocess.Popen[str]:
    """Start the command in a new process, or in several under PyTorch's launcher; warnings are errors.

    Args:
        arguments: of the command.
        processes: number of processes that train.
        launcher: False: start several processes with :mod:`.forked_workers`, which is quicker.
        streams: standard streams of the process.
    """
    module = ["-m", "distilbert"]
    if processes > 1 and launcher:
        module = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), *module]
    elif processes > 1:
        module = ["-m", "tests.training.forked_workers", str(processes)]
    paths = {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "PYTHONWARNINGS": "error",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.Popen(
        [sys.executable, *module, *arguments],
        env={**os.environ, **paths},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


def run(arguments: Sequence[str], processes: int = 1, launcher: bool = True) -> tuple[int, str, str]:
    """Run the command as :func:`start` does; return its exit code, standard output and standard error."""
    process = start(arguments, processes, launcher)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def run_here(arguments: Sequence[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command in this process, computing on one thread as :func:`run` does; return the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    capfd.readouterr()
    try:
        code = invoke(arguments)
    finally:
        torch.set_num_threads(threads)
    return code, *capfd.readouterr()


def config_of(folder: Path, teacher: str, **changes: Any) -> DistillConfig:
    return DistillConfig(**settings(folder, **{"teacher": teacher, **changes}))


def weights(folder: Path | str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")
