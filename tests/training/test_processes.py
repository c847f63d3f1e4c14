"""Several processes on one machine give the numbers of one process, up to the order of additions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from distilbert.training.distill_config import DistillConfig
from distilbert.training.distillation import distill

from .tiny_run import Record, assert_equal, options, read_metrics, read_tensors, run, settings, write_model

NEAR = 1e-5
ALL = {"ce": 5, "mlm": 2, "cos": 1, "mse": 1, "hidden": 1, "relation": 1}


def assert_near(first: Any, second: Any) -> None:
    """Compare records with the tolerance ``NEAR``."""
    if isinstance(first, Mapping):
        assert list(first) == list(second)
        for key, value in first.items():
            assert_near(value, second[key])
    elif isinstance(first, float):
        assert first == pytest.approx(second, rel=NEAR, abs=NEAR)
    else:
        assert first == second


def values_of(folder: Path, name: str, **changes: Any) -> Record:
    teacher = folder / "teacher"
    if not teacher.exists():
        write_model(teacher)
    # The bias of keys has no influence: its gradient is rounding, which a small epsilon would turn into steps.
    return settings(folder, teacher=str(teacher), output=str(folder / name), **{"epsilon": 1e-3, **changes})


def in_two(values: Record, *more: str) -> tuple[int, str, str]:
    return run(["distill", *options(values), *more], processes=2, launcher=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens_per_step": 72, "max_held_out": 2},  # three micro-batches, and one to evaluate
        {"tokens_per_step": 72, "max_held_out": 2, "fsdp": True},
        pytest.param({"terms": ALL, "gradient_checkpointing": True}, marks=pytest.mark.slow),
        pytest.param({"terms": ALL, "gradient_checkpointing": True, "fsdp": True}, marks=pytest.mark.slow),
        pytest.param({"terms": {"cos": 1}}, marks=pytest.mark.slow),  # a head without a gradient
        pytest.param({"terms": {"cos": 1}, "fsdp": True}, marks=pytest.mark.slow),
        pytest.param({"streaming": True}, marks=pytest.mark.slow),
        pytest.param({"precision": "bf16"}, marks=pytest.mark.slow),
        pytest.param({"init": "random", "dim": 30, "terms": {"hidden": 1}, "fsdp": True}, marks=pytest.mark.slow),
    ],
)
def test_two_processes_are_one_run(tmp_path: Path, changes: Record) -> None:
    """The same losses, figures and weights as one process, and the same bits after a resume."""
    changes = {"weight_decay": 0.01, **changes}
    single = distill(DistillConfig(**values_of(tmp_path, "one", **changes)))
    values = values_of(tmp_path, "two", **changes)
    code, out, err = in_two(values)
    assert code == 0, err
    double = tmp_path / "two"
    assert out == f"{double}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/\n"
    shown = [line[:8] for line in err.splitlines() if line.startswith("step")]  # only the first process prints
    assert shown == ["step 0: ", "step 1/4", "step 2/4", "step 2: ", "step 3/4", "step 4/4", "step 4: "]
    if changes.get("precision") != "bf16":  # in bf16 the order of additions matters
        for first, second in zip(read_metrics(single), read_metrics(double), strict=True):
            assert_near(first, second)
        other = read_tensors(double, 4)
        for name, tensor in read_tensors(single, 4).items():
            torch.testing.assert_close(tensor, other[name], rtol=NEAR, atol=NEAR, msg=lambda text, n=name: n + text)
    whole = shutil.copytree(double, tmp_path / "whole")
    shutil.rmtree(double / "checkpoints" / "step-4")
    code, _, err = in_two(values, "--resume")
    assert code == 0, err
    assert "step 2/4" not in err
    assert "step 3/4" in err
    assert read_metrics(double) == read_metrics(whole)
    assert_equal(read_tensors(double, 4), read_tensors(whole, 4))


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_a_run_goes_on_with_other_processes(tmp_path: Path, sharded: bool) -> None:
    single = distill(DistillConfig(**values_of(tmp_path, "one", fsdp=sharded)))
    double = shutil.copytree(single, tmp_path / "two")
    shutil.rmtree(double / "checkpoints" / "step-4")
    assert in_two(values_of(tmp_path, "two", fsdp=sharded), "--resume")[0] == 0
    for first, second in zip(read_metrics(single), read_metrics(double), strict=True):
        assert_near(first, second)


def test_more_processes_than_passes(tmp_path: Path) -> None:
    """Here PyTorch's launcher starts the processes."""
    code, out, err = run(["distill", *options(values_of(tmp_path, "two", micro_tokens=96))], processes=2)
    assert (code, out) == (1, "")
    message = (
        "distilbert: A step has 1 pass for 2 processes: raise --tokens-per-step or lower --micro-tokens to at most 48."
    )
    assert message in err.splitlines()
    assert not (tmp_path / "two" / "config.toml").exists()


@pytest.mark.slow
def test_a_failure_of_the_first_process_ends_the_others(tmp_path: Path) -> None:
    code, out, err = in_two(values_of(tmp_path, "two", data=["gone.txt"]))
    assert (code, out) == (1, "")
    assert "There is no file or folder 'gone.txt'" in err
    assert "Connection closed" not in err, err  # a message that helps nobody
