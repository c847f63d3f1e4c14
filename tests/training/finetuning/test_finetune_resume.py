"""Fine-tuning gives the same result after a kill and a resume, and on several processes."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetuner import finetune
from tests.training.test_distill_resume import kill_at
from tests.training.test_processes import NEAR, assert_near
from tests.training.tiny_run import Record, assert_equal, read_metrics, read_tensors, run, run_here, start

from .tiny_tasks import config_of, options_of, values_of

STEPS = 16
CALM = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "qa_dropout": 0.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, as in the processes that the tests start, so that sums have the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("kind", "precision", "processes"),
    [
        ("single", "fp32", 1),
        pytest.param("tags", "fp32", 1, marks=pytest.mark.slow),
        pytest.param("text", "fp32", 1, marks=pytest.mark.slow),
        pytest.param("single", "bf16", 1, marks=pytest.mark.slow),
        pytest.param("single", "fp32", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal there")
def test_a_run_that_is_killed_and_resumed_is_the_same_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, precision: str, processes: int
) -> None:
    teacher = finetune(config_of(tmp_path, kind, output=str(tmp_path / "teacher"), max_steps=1))
    values: Record = values_of(
        tmp_path, kind, teacher=str(teacher), precision=precision, max_steps=STEPS, checkpoint_every=4,
        evaluate_every=5, weight_decay=0.01, layer_decay=0.9,
    )  # fmt: skip
    plain = values | {"output": str(tmp_path / "plain")}
    if processes == 1:
        finetune(FinetuneConfig(**plain))
    else:
        code, _, err = run(["finetune", *options_of(plain)], processes)
        assert code == 0, err
    killed = tmp_path / "killed"
    arguments = ["finetune", *options_of(values | {"output": str(killed)})]
    at = random.randrange(1, 10)
    kill_at(at, start(arguments, processes), killed / "metrics.jsonl")
    assert not (killed / "summary.json").exists(), f"it was over before it was killed at step {at}"
    resume = ["finetune", "--resume", "--output", str(killed)]
    code, out, err = run(resume, processes) if processes > 1 else run_here(resume, capfd)
    assert code == 0, err
    assert out.startswith(f"{killed}: model")
    if at > 4:
        assert "step 1/" not in err
    assert read_metrics(killed) == read_metrics(tmp_path / "plain"), f"killed at step {at}"
    assert_equal(read_tensors(killed, STEPS), read_tensors(tmp_path / "plain", STEPS))
    assert not [path for path in (killed / "checkpoints").iterdir() if path.name.startswith(".")]


def test_a_step_that_was_lost_comes_back(tmp_path: Path) -> None:
    """The same in one process: the newest checkpoint is removed from a run with several micro-batches per step."""
    teacher = finetune(config_of(tmp_path, "squad2", output=str(tmp_path / "teacher"), max_steps=1))
    config = config_of(tmp_path, "squad2", teacher=str(teacher), keep=3)
    folder = finetune(config)
    metrics, content = read_metrics(folder), read_tensors(folder, 4)
    shutil.rmtree(folder / "checkpoints" / "step-4")
    seen: list[Record] = []
    finetune(config, resume=True, on_record=seen.append)
    assert [record["step"] for record in seen if record["kind"] == "train"] == [3, 4]
    assert read_metrics(folder) == metrics
    assert_equal(read_tensors(folder, 4), content)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        pytest.param("single", {}, marks=pytest.mark.slow),
        pytest.param("single", {"fsdp": True}, marks=pytest.mark.slow),
        pytest.param("tags", {}, marks=pytest.mark.slow),
        pytest.param("choice", {}, marks=pytest.mark.slow),
        pytest.param("squad2", {"micro_tokens": 4096}, marks=pytest.mark.slow),  # a micro-batch for each process
        pytest.param("single", {"batch_size": 1}, marks=pytest.mark.slow),  # one example for two processes
    ],
)
def test_two_processes_are_one_run(tmp_path: Path, kind: str, changes: Record) -> None:
    """Without dropout, which differs by micro-batch, only the order of additions differs."""
    teacher = finetune(config_of(tmp_path, kind, output=str(tmp_path / "teacher"), max_steps=1))
    for folder in (tmp_path / "model", teacher):
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(values | CALM))
    settings: Record = {"teacher": str(teacher), "epsilon": 1e-3, **changes}
    single = finetune(config_of(tmp_path, kind, output=str(tmp_path / "one"), **settings))
    values = values_of(tmp_path, kind, output=str(tmp_path / "two"), **settings)
    code, out, err = run(["finetune", *options_of(values)], processes=2)
    assert code == 0, err
    double = tmp_path / "two"
    assert out == f"{double}: model and tokenizer, report.html, README.md, metrics.jsonl, config.toml, checkpoints/\n"
    assert err.count("examples to train on") == 1
    for first, second in zip(read_metrics(single), read_metrics(double), strict=True):
        assert_near(first, second)
    expected = read_tensors(double, 4)
    for name, tensor in read_tensors(single, 4).items():
        torch.testing.assert_close(tensor, expected[name], rtol=NEAR, atol=NEAR, msg=lambda text, n=name: n + text)
