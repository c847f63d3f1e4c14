"""Ctrl-C and SIGTERM in training, checkpoints by the clock, and what people are told."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distilbert import DataError, UnknownArgumentError, distill, finetune
from distilbert.core.errors import Interrupted, WeightsError
from distilbert.training import checkpoints
from distilbert.training.distill_config import DistillConfig
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.stop_signals import StopSignals
from tests.training.finetuning.tiny_tasks import config_of, values_of, write_teacher

from .tiny_run import Record, assert_equal, options, read_metrics, read_tensors, settings, start, write_model

SENTENCES: Record = {"sequences": "sentences", "terms": {"hidden": 1.0}}


def config_for(folder: Path, **changes: Any) -> DistillConfig:
    return DistillConfig(**settings(folder, teacher=write_model(folder / "teacher"), **changes))


def signal_at(step: int, number: signal.Signals) -> Any:
    def on_record(record: Record) -> None:
        if record["kind"] == "train" and record["step"] == step:
            signal.raise_signal(number)

    return on_record


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_and_the_resumed_run_is_the_same_run(tmp_path: Path, number: signal.Signals) -> None:
    whole = distill(config_for(tmp_path, output=str(tmp_path / "whole"), checkpoint_every=100), verbose=False)
    config = config_for(tmp_path, output=str(tmp_path / "stopped"), checkpoint_every=100)
    before = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=r"stopped after step 3, which is saved in .*stopped; with resume=True"
    ) as end:
        distill(config, verbose=False, on_record=signal_at(3, number))
    assert end.value.signal is number
    assert signal.getsignal(number) is before
    saved = checkpoints.newest(tmp_path / "stopped" / "checkpoints")
    assert saved is not None
    assert saved.step == 3
    distill(config, resume=True, verbose=False)
    assert read_metrics(tmp_path / "stopped") == read_metrics(whole)
    assert_equal(read_tensors(tmp_path / "stopped", 4), read_tensors(whole, 4))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_ends_with_the_code_of_the_signal(tmp_path: Path, number: signal.Signals, code: int) -> None:
    values = settings(tmp_path, teacher=write_model(tmp_path / "teacher"), max_steps=100_000, evaluate_every=100_000)
    process = start(["distill", *options(values | {"checkpoint_every": 100_000})])
    metrics, until = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 200
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    assert "stopping after this step; once more stops at once, without saving it" in err
    assert err.splitlines()[-1].startswith("distilbert: stopped after step ")
    saved = checkpoints.newest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert f"after step {saved.step}," in err


def test_the_second_signal_stops_at_once() -> None:
    seen: list[str] = []
    with StopSignals(lambda: seen.append("first")) as signals:
        signal.raise_signal(signal.SIGINT)
        assert (signals.received, seen) == (signal.SIGINT, ["first"])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_the_program_and_other_threads_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with StopSignals(lambda: None) as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            assert (received, signals.received) == ([signal.SIGTERM], None)
    finally:
        signal.signal(signal.SIGTERM, before)

    def in_a_thread() -> None:
        with StopSignals(lambda: None):
            received.append(0)

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert received[1:] == [0]


def test_checkpoints_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes a minute: with a checkpoint every minute there is one after each step."""
    written: list[int] = []
    save = checkpoints.save
    monkeypatch.setattr(
        checkpoints, "save", lambda folder, step, *rest: written.append(step) or save(folder, step, *rest)
    )
    minutes = iter(range(0, 60 * 10_000, 60))
    monkeypatch.setattr("distilbert.training.loop.time.monotonic", lambda: next(minutes))
    common: Record = {"checkpoint_every": 100, "evaluate_every": 100}
    distill(config_for(tmp_path, output=str(tmp_path / "a"), checkpoint_minutes=1, **common), verbose=False)
    assert written == [1, 2, 3, 4]
    written.clear()
    distill(config_for(tmp_path, output=str(tmp_path / "b"), checkpoint_minutes=0, **common), verbose=False)
    assert written == [4]


def test_a_resume_that_finds_nothing_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    config = config_for(tmp_path)
    with caplog.at_level(logging.WARNING, "distilbert"):
        distill(config, resume=True, verbose=False)
    assert "holds no run to resume: this one starts at the first step" in caplog.text
    checkpoints.clear(tmp_path / "run" / "checkpoints")
    capfd.readouterr()
    distill(config, resume=True)
    assert "has no checkpoint yet: it starts again at the first step" in capfd.readouterr().err


def test_a_run_that_is_overwritten_and_stopped_does_not_look_finished(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    folder = distill(config, verbose=False)
    with pytest.raises(Interrupted):
        distill(config, overwrite=True, verbose=False, on_record=signal_at(1, signal.SIGINT))
    assert not (folder / "summary.json").exists()
    assert (folder / "model.safetensors").exists()


def test_a_damaged_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    distill(config, verbose=False)
    weights = tmp_path / "run" / "checkpoints" / "step-4" / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.safetensors is not as it was written: it is damaged\. Remove "):
        distill(config, resume=True, verbose=False)


def in_another_order(text: str) -> str:
    return "\n\n".join(reversed(text.strip().split("\n\n"))) + "\n"


def with_other_letters(text: str) -> str:
    return text.translate(str.maketrans("ab", "ba"))


@pytest.mark.parametrize("change", [in_another_order, with_other_letters])
@pytest.mark.parametrize("values", [{}, {"streaming": True, "max_held_out": 4}, SENTENCES])
def test_another_text_of_the_same_size_is_not_resumed(
    tmp_path: Path, values: Record, change: Callable[[str], str]
) -> None:
    config = config_for(tmp_path, max_steps=1, **values)
    distill(config, verbose=False)
    text = tmp_path / "text.txt"
    before = text.read_text()
    text.write_text(change(before))
    assert len(text.read_text()) == len(before)
    with pytest.raises(DataError, match=r"^data has changed since this run was interrupted"):
        distill(config, resume=True, verbose=False)


def with_other_labels(text: str) -> str:
    return text.replace("good", "###").replace("bad", "good").replace("###", "bad")


def test_other_examples_are_not_resumed(tmp_path: Path) -> None:
    config = config_of(tmp_path, "single")
    finetune(config, verbose=False)
    for sources, name in ((config.train_data, "train_data or unlabelled_data"), (config.eval_data, "eval_data")):
        data = Path(sources[0])
        before = data.read_text()
        data.write_text(with_other_labels(before))
        with pytest.raises(DataError, match=f"^{name} has changed since this run was interrupted"):
            finetune(config, resume=True, verbose=False)
        data.write_text(before)
    finetune(config, resume=True, verbose=False)


def test_other_models_are_not_resumed(tmp_path: Path) -> None:
    values: Record = {"teacher": write_teacher(tmp_path / "teacher", "single"), "max_steps": 1}
    config = config_of(tmp_path, "single", **values)
    finetune(config, verbose=False)
    write_teacher(tmp_path / "teacher", "single", seed=9)
    with pytest.raises(DataError, match="^teacher has changed since this run was interrupted"):
        finetune(config, resume=True, verbose=False)
    write_model(tmp_path / "model", head="", n_layers=2, seed=9)
    with pytest.raises(DataError, match="^model and teacher have changed"):
        finetune(config, resume=True, verbose=False)
    text = config_for(tmp_path / "text", max_steps=1)
    distill(text, verbose=False)
    write_model(tmp_path / "text" / "teacher", seed=9)
    with pytest.raises(DataError, match="^teacher has changed"):
        distill(text, resume=True, verbose=False)


def test_a_loss_that_explodes_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    changes: Record = {"learning_rate": 30.0, "warmup": 0.0, "clip": 0.0, "max_steps": 30, "evaluate_every": 100}
    distill(config_for(tmp_path, terms={"mlm": 1.0}, **changes))
    lines = [line for line in capfd.readouterr().err.splitlines() if "at the beginning" in line]
    assert len(lines) == 1
    assert lines[0].endswith("Is the learning_rate too high, or the warmup too short?")


def test_progress_is_shown_unless_it_is_not_wanted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = config_of(tmp_path, "single")
    capfd.readouterr()
    finetune(config, verbose=False)
    assert capfd.readouterr().err == ""
    records: list[Record] = []
    finetune(config, overwrite=True, on_record=records.append)
    err = capfd.readouterr().err
    assert "24 examples to train on" in err
    assert "step 1/" in err
    assert "accuracy" in err
    assert {record["kind"] for record in records} == {"train", "evaluation"}


def test_a_run_that_cannot_start_leaves_no_folder(tmp_path: Path) -> None:
    values = values_of(tmp_path, "single", output=str(tmp_path / "deep" / "run"))
    (tmp_path / "broken.tsv").write_text("sentence\tlabel\nonly one column\n")
    for changes in ({"train_data": [str(tmp_path / "broken.tsv")]}, {"max_length": 10_000}, {"teacher": "none/such"}):
        with pytest.raises((DataError, ValueError, OSError)):
            finetune(FinetuneConfig(**{**values, **changes}), verbose=False)
        assert not (tmp_path / "deep").exists(), changes


def test_a_corpus_without_text_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match=r"^The corpus is empty"):
        distill(
            config_for(tmp_path, data=[str(tmp_path / "empty.txt")], output=str(tmp_path / "a" / "b")), verbose=False
        )
    assert not (tmp_path / "a").exists()


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownArgumentError, match=r"FinetuneConfig got an unknown argument 'epoch'.*'epochs'"):
        FinetuneConfig(task="text-classification", model="m", train_data=["a"], output="o", epoch=3)  # type: ignore[call-arg]


def test_threads_are_those_of_the_run_alone(tmp_path: Path) -> None:
    import torch

    before, seen = torch.get_num_threads(), set()
    distill(config_for(tmp_path, threads=3), verbose=False, on_record=lambda record: seen.add(torch.get_num_threads()))
    assert seen == {3}
    assert torch.get_num_threads() == before


def test_a_data_frame_trains_and_resumes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    values = values_of(tmp_path, "single")
    frame = pandas.read_csv(values["train_data"][0], sep="\t")
    from_file = finetune(FinetuneConfig(**{**values, "output": str(tmp_path / "file")}), verbose=False)
    config = FinetuneConfig(**{**values, "train_data": frame, "output": str(tmp_path / "frame")})
    from_frame = finetune(config, verbose=False)
    assert_equal(read_tensors(from_frame, 4), read_tensors(from_file, 4))
    again = FinetuneConfig(**{**values, "train_data": frame.copy(), "output": str(tmp_path / "frame")})
    finetune(again, resume=True, verbose=False)
    other = FinetuneConfig(**{**values, "train_data": frame[::-1], "output": str(tmp_path / "frame")})
    with pytest.raises(ValueError, match=r"train_data: \['memory:DataFrame:24:\w+'\] -> "):
        finetune(other, resume=True, verbose=False)
