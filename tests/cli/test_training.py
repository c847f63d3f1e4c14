"""``distilbert distill`` and ``pretrain``: options, files of settings, and what people see."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from distilbert.training import training_progress
from distilbert.training.distill_config import DistillConfig, PretrainConfig
from distilbert.training.training_progress import clock, describe_evaluation, describe_step
from tests.training.runs import evaluation_record, train_record
from tests.training.tiny_run import options, settings, start, write_corpus, write_model

from .helpers import Command, Done

LEFT = "report.html, README.md, metrics.jsonl, config.toml, checkpoints/"


class FakeTraining:
    """Takes the place of a training run and keeps what it was called with."""

    def __init__(self) -> None:
        self.config: Any = None
        self.how: dict[str, Any] = {}

    def __call__(self, config: Any, **how: Any) -> Path:
        self.config, self.how = config, how
        return Path(config.output)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    training = FakeTraining()
    monkeypatch.setattr("distilbert.training.distillation.distill", training)
    monkeypatch.setattr("distilbert.training.distillation.pretrain", training)
    return training


def test_options_become_settings(cli: Command, training: FakeTraining) -> None:
    line = (
        "--teacher t --output o --data a b c --data d --terms ce=5,mlm=0.5 --betas 0.8,0.9 --hidden-pairs 1:2,2:4 "
        "--layers 0,2 --streaming --max-steps 3 --no-tensorboard --learning-rate 1e-3 --mask-split 1,0,0"
    )
    done = cli("distill", *line.split())
    assert (done.code, done.out) == (0, f"o: model and tokenizer, {LEFT}\n"), done.err
    assert training.config == DistillConfig(
        teacher="t", output="o", data=["a", "b", "c", "d"], terms={"ce": 5, "mlm": 0.5}, betas=[0.8, 0.9],
        hidden_pairs=["1:2", "2:4"], layers="0,2", streaming=True, max_steps=3, learning_rate=1e-3,
        mask_split=[1, 0, 0],
    )  # fmt: skip
    assert (training.how["resume"], training.how["overwrite"]) == (False, False)
    line = "pretrain --model m --output o --data a --freeze layers --overwrite"
    done = cli(*line.split())
    assert done.code == 0
    assert training.config == PretrainConfig(model="m", output="o", data=["a"], freeze="layers")
    assert training.how["overwrite"]


def test_options_win_over_the_file_and_the_file_over_the_run(cli: Command, training: FakeTraining) -> None:
    DistillConfig(teacher="t", output="o", data=["a"], seed=1, clip=1).save(cli.folder / "c.toml")
    assert cli("distill", "--config", "c.toml", "--seed", "2").code == 0
    assert training.config == DistillConfig(teacher="t", output="o", data=["a"], seed=2, clip=1)
    DistillConfig(teacher="u", output="elsewhere", data=["b"], seed=3).save(cli.folder / "run" / "config.toml")
    assert cli("distill", "--resume", "--output", "run", "--keep", "5").code == 0
    assert training.config == DistillConfig(teacher="u", output="run", data=["b"], seed=3, keep=5)
    assert cli("distill", "--resume", "--output", "run", "--config", "c.toml").code == 0
    assert training.config == DistillConfig(teacher="t", output="run", data=["a"], seed=1, clip=1)


def test_a_file_in_the_present_folder_is_not_taken_unasked(cli: Command, training: FakeTraining) -> None:
    DistillConfig(teacher="t", output="o", data=["a"]).save(cli.folder / "config.toml")
    done = cli("distill", "--resume")
    assert done.code == 2
    assert "Missing option --output, --data, --teacher" in done.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Missing option --output, --data, --teacher; give it here, or in a file for --config."),
        ("--teacher t --data a", "Missing option --output;"),
        ("--output o --resume", "o holds no run to resume; leave --resume out and state all settings."),
        ("{} --terms ce=5,mlm", "--terms 'ce=5,mlm': pairs such as ce=5,mlm=2 are expected."),
        ("{} --terms ce=much", "--terms: 'much' is not a number."),
        ("{} --terms ce=5,mlmm=1", "unknown argument 'mlmm'. Did you mean 'mlm'?"),
        ("{} --terms ,", "terms must be at least one term"),
        ("{} --betas 0.9,x", "--betas: 'x' is not a number."),
        ("{} --mask-split 0.8,0.1", "--mask-split must be three parts"),
        ("{} --temperature 0", "temperature must be more than 0; got 0.0."),
        ("{} --precision fp16", "precision must be one of auto, fp32, bf16; got 'fp16'."),
        ("{} --seed one", "Invalid value for '--seed'"),
        ("{} --sead 1", "No such option: --sead"),
        ("--config gone.toml", "There is no configuration at gone.toml."),
        ("--config bad.toml", "bad.toml got an unknown argument 'tempreature'. Did you mean 'temperature'?"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_2(cli: Command, training: FakeTraining, line: str, message: str) -> None:
    cli.write("bad.toml", 'data = ["a"]\noutput = "o"\nteacher = "t"\ntempreature = 1\n')
    done = cli("distill", *line.format("--teacher t --output o --data a").split())
    assert done.code == 2, done.err
    assert message in done.err
    assert done.err.startswith("distilbert: ")
    assert training.config is None


def test_lines_of_progress() -> None:
    record = {"step": 40, "steps": 366, "tokens": 5120, "loss": 9.3138, "terms": {"ce": 0.84123, "mlm": 2.4}}
    record |= {"tokens_per_second": 1210.4}
    assert describe_step(record) == "step 40/366, 0:34 left  loss 9.314  ce 0.841  mlm 2.4  1,210 tokens/s"
    alone = record | {"terms": {"mlm": 2.44449}, "step": 366}
    assert describe_step(alone) == "step 366/366, 0:00 left  mlm 2.44  1,210 tokens/s"
    figures = {"step": 100, "perplexity": 35.1987, "teacher_perplexity": 28.1, "kl": 0.31049, "agreement": 0.61}
    assert (
        describe_evaluation(figures) == "step 100: held-out perplexity 35.2 (teacher 28.1), KL 0.31, agreement 61.0 %"
    )
    assert describe_evaluation({"step": 1, "perplexity": 2.0}) == "step 1: held-out perplexity 2"
    assert [clock(seconds) for seconds in (0, 59.6, 247, 3847, 360_000)] == [
        "0:00", "1:00", "4:07", "1:04:07", "100:00:00"
    ]  # fmt: skip


def test_a_pipe_sees_a_line_a_record(capfd: pytest.CaptureFixture[str]) -> None:
    with training_progress.TrainingProgress(verbose=True) as progress:
        progress.show_tokenized(1200, 34_000)
        progress.show_record(train_record(10) | {"steps": 2000})
        progress.show_record(evaluation_record(10) | {"teacher_perplexity": 11.0})
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "tokenized 1,200 documents, 34,000 tokens"
    assert [line.split()[:2] for line in lines[1:]] == [["step", "10/2000,"], ["step", "10:"]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_model(folder / "teacher")
    write_corpus(folder / "text.txt")
    return folder


def test_ctrl_c_says_how_to_go_on(cli: Command, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = training_progress.TrainingProgress.show_record

    def stop(self: training_progress.TrainingProgress, record: dict[str, Any]) -> None:
        shown(self, record)
        if record["step"] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(training_progress.TrainingProgress, "show_record", stop)
    values = settings(prepared, teacher=str(prepared / "teacher"), output=str(cli.folder / "run"))
    done: Done = cli("distill", *options(values))
    assert done.code == 130
    assert done.err.splitlines()[-1] == (
        "distilbert: stopped after step 3; with resume=True, on the command line --resume, the run goes on from its "
        "newest checkpoint"
    )
    monkeypatch.undo()
    done = cli("distill", *options(values), "--resume")
    assert (done.code, "step 2/4" in done.err, "step 3/4" in done.err) == (0, False, True)


def test_an_error_of_the_run_is_one_message(cli: Command, prepared: Path) -> None:
    values = settings(prepared, teacher=str(prepared / "teacher"), output=str(cli.folder / "run"))
    done = cli("distill", *options(values | {"sequence_length": 24}))
    assert (done.code, done.out) == (2, "")
    assert done.err == "distilbert: --sequence-length 24 is more than the model's 23 positions.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_terminal_shows_one_line_that_moves(prepared: Path, tmp_path: Path) -> None:
    import pty

    values = settings(prepared, teacher=str(prepared / "teacher"), output=str(tmp_path / "run"))
    master, slave = pty.openpty()
    process = start(["distill", *options(values)], stderr=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # all others have closed it
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    out, _ = process.communicate(timeout=60)
    text = seen.decode()
    assert process.returncode == 0, text
    assert LEFT in out
    plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in text.replace("\r", "\n").split("\n")]
    kept = [line for line in plain if line.startswith("step ") and ":" in line.split()[1]]
    assert [line.split()[1] for line in kept] == ["0:", "2:", "4:"], text
    moving = [line for line in plain if "step 4/4" in line]
    assert moving, text
    assert all(line.startswith("100% step 4/4, 0:00 left  loss ") for line in moving), text
    assert max(map(len, moving)) <= 80
    assert "\x1b[1A" not in text, "the line is more than one"
