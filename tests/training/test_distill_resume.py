"""``kill -9`` at any step, then ``--resume``: the result is bit-equal to that of an uninterrupted run."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from .tiny_run import (
    Record,
    assert_equal,
    options,
    read_metrics,
    read_tensors,
    run,
    run_here,
    settings,
    start,
    write_model,
)

STEPS = 20


def kill_at(step: int, process: psutil.Popen, metrics: Path) -> None:
    """Kill a command and all its children as soon as its metrics contain ``step``."""
    end = time.monotonic() + 100
    while not metrics.is_file() or f'"step": {step}, "steps"' not in metrics.read_text(encoding="utf-8"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.001)
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.send_signal(signal.SIGSTOP)  # so that no process notices that another died
    for member in family:
        member.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("precision", "processes"),
    [
        ("fp32", 1),
        pytest.param("bf16", 1, marks=pytest.mark.slow),
        pytest.param("fp32", 2, marks=pytest.mark.slow),
        pytest.param("bf16", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal there")
def test_a_run_that_is_killed_and_resumed_is_the_same_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], precision: str, processes: int
) -> None:
    """Only the run that is killed needs a process of its own; several processes always have theirs."""
    values: Record = settings(
        tmp_path, teacher=write_model(tmp_path / "teacher"), precision=precision, max_steps=STEPS, checkpoint_every=4,
        evaluate_every=5, weight_decay=0.01,
    )  # fmt: skip
    plain = ["distill", *options(values | {"output": str(tmp_path / "plain")})]
    code, _, err = run(plain, processes) if processes > 1 else run_here(plain, capfd)
    assert code == 0, err
    killed = tmp_path / "killed"
    arguments = ["distill", *options(values | {"output": str(killed)})]
    at = random.randrange(1, 14)
    kill_at(at, start(arguments, processes), killed / "metrics.jsonl")
    assert not (killed / "summary.json").exists(), f"it was over before it was killed at step {at}"
    resume = ["distill", "--resume", "--output", str(killed)]
    code, out, err = run(resume, processes) if processes > 1 else run_here(resume, capfd)
    assert code == 0, err
    assert out.startswith(f"{killed}: model")
    if at > 4:
        assert "step 1/" not in err
    assert read_metrics(killed) == read_metrics(tmp_path / "plain"), f"killed at step {at}"
    assert_equal(read_tensors(killed, STEPS), read_tensors(tmp_path / "plain", STEPS))
    assert not [path for path in (killed / "checkpoints").iterdir() if path.name.startswith(".")]
