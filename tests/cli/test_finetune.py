"""``distilbert finetune``: options, exit codes, and what people see."""

from __future__ import annotations

import json

import pytest

from distilbert.training.finetuning.finetune_config import FinetuneConfig
from tests.training.tiny_run import write_model

from .helpers import Command
from .test_training import LEFT, FakeTraining

NEEDED = "--task text-classification --model m --train-data a.tsv --output o"


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    training = FakeTraining()
    monkeypatch.setattr("distilbert.training.finetuning.finetuner.finetune", training)
    return training


def test_options_become_settings(cli: Command, training: FakeTraining) -> None:
    line = (
        f"{NEEDED} --train-data b,c.tsv --eval-data d.tsv --unlabelled-data e.tsv --teacher t --layers 0,2 "
        "--fresh-head --columns text=review,label=stars --label-names bad,good --learning-rates 1e-5,3e-5 "
        "--seeds 3 --patience 2 --class-weights balanced --freeze 1 "
        "--layer-decay 0.9 --select best --long-texts cut --overwrite"
    )
    done = cli("finetune", *line.split())
    assert (done.code, done.out) == (0, f"o: model and tokenizer, {LEFT}\n"), done.err
    assert training.config == FinetuneConfig(
        task="text-classification", model="m", train_data=["a.tsv", "b,c.tsv"], output="o", eval_data=["d.tsv"],
        unlabelled_data=["e.tsv"], teacher="t", layers="0,2", fresh_head=True, label_names=["bad", "good"],
        columns={"text": "review", "label": "stars"}, learning_rates=[1e-5, 3e-5], seeds=3, patience=2,
        class_weights="balanced", freeze="1", layer_decay=0.9, select="best", long_texts="cut",
    )  # fmt: skip
    assert (training.how["resume"], training.how["overwrite"]) == (False, True)


def test_a_file_of_settings_and_a_run(cli: Command, training: FakeTraining) -> None:
    values = {"task": "fill-mask", "model": "m", "train_data": ["a.txt"], "output": "run"}
    config = FinetuneConfig(**values, epochs=2)
    config.save(cli.folder / "c.toml")
    assert cli("finetune", "--config", "c.toml", "--epochs", "5").code == 0
    assert training.config == FinetuneConfig(**values, epochs=5)
    config.save(cli.folder / "run" / "config.toml")
    assert cli("finetune", "--resume", "--output", "run").code == 0
    assert (training.config, training.how["resume"]) == (config, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "Missing option --output, --task, --model, --train-data; give it here, or in a file for --config."),
        ("{} --task translation", "task must be one of text-classification, token-classification, question-answering"),
        ("{} --columns text", "--columns 'text': pairs such as text=review,label=stars are expected."),
        ("{} --learning-rates 1e-5,fast", "--learning-rates: 'fast' is not a number."),
        ("{} --patience 2", "patience must be left out where --eval-data is not given"),
        ("{} --select best", "select must be last where --eval-data is not given"),
        ("{} --seeds 2", "seeds must be 1 where --eval-data is not given"),
        ("{} --unlabelled-data b.tsv", "teacher must be given with --unlabelled-data"),
        ("{} --freeze all", "freeze must be none, embeddings, a number of blocks, or encoder; got 'all'."),
        ("{} --max-length 4", "--max-length must be 0 or at least 8"),
        ("{} --seeds two", "Invalid value for '--seeds'"),
        ("{} --teecher t", "No such option: --teecher"),
        ("--config gone.toml", "There is no configuration at gone.toml."),
    ],
)
def test_wrong_usage_is_one_message_and_exit_2(cli: Command, training: FakeTraining, line: str, message: str) -> None:
    done = cli("finetune", *line.format(NEEDED).split())
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.startswith("distilbert: ")
    assert training.config is None


@pytest.fixture
def real(cli: Command) -> Command:
    """The command in a folder with a tiny model and reviews."""
    write_model(cli.folder / "model", head="", n_layers=2)
    cli.write("train.tsv", "review\tstars\n" + "a b\tbad\nq r\tgood\n" * 4)
    cli.write("dev.tsv", "review\tstars\na c\tbad\nq\tgood\n")
    return cli


LINE = "finetune --task text-classification --model model --train-data train.tsv --output run --device cpu"
TINY = f"{LINE} --max-steps 2 --batch-size 4 --log-every 1 --precision fp32"


def test_a_person_sees_what_was_found_and_how_it_goes(real: Command) -> None:
    done = real(*TINY.split(), "--eval-data", "dev.tsv")
    assert (done.code, done.out) == (0, f"run: model and tokenizer, {LEFT}\n"), done.err
    lines = done.err.splitlines()
    assert lines[:3] == [
        "8 examples to train on (text = review, label = stars)",
        "single label classification, 2 labels: bad, good",
        "2 examples to evaluate on",
    ]
    assert [line.split(",")[0] for line in lines if line.startswith("step ") and ":" not in line.split()[1]] == [
        "step 1/2", "step 2/2"
    ]  # fmt: skip
    assert any(line.startswith("step 2: accuracy ") for line in lines)
    assert json.loads(real.read("run/config.json"))["id2label"] == {"0": "bad", "1": "good"}
    again = real(*TINY.split(), "--eval-data", "dev.tsv")
    assert (again.code, again.out) == (1, "")
    assert again.err == (
        "distilbert: run holds a run; go on with it (--resume), start it anew (--overwrite), or name another.\n"
    )
    other = real(*TINY.split(), "--eval-data", "dev.tsv", "--resume", "--seed", "7")
    assert other.code == 1
    assert "seed: 42 -> 7" in other.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--columns label=starz", "train.tsv has no column 'starz' for the label. Did you mean 'stars'?"),
        ("--train-data gone.tsv", "There is no file or folder 'gone.tsv'"),
        ("--eval-data odd.tsv", "odd.tsv:2: the evaluation data has the label 'awful', which is not among the labels"),
        ("--max-length 24", "--max-length 24 is more than the model's 23 positions."),
        ("--freeze 99", "--freeze: the model has 2 blocks; got 99."),
        ("--output model", "--output must be another folder than that of the model"),
    ],
)
def test_an_error_of_the_run_is_one_message(real: Command, more: str, message: str) -> None:
    real.write("odd.tsv", "review\tstars\na\tawful\n")
    done = real(*TINY.split(), *more.split())
    assert (done.code, done.out) == (2 if message.startswith("--") else 1, "")
    last = done.err.splitlines()[-1]
    assert last.startswith("distilbert: ")
    assert message in last
    assert "Traceback" not in done.err
    assert not (real.folder / "run" / "config.toml").exists()


def test_help_names_every_setting(cli: Command) -> None:
    done = cli("finetune", "--help")
    assert done.code == 0
    for name in ("--train-data", "--unlabelled-data", "--teacher-weight", "--learning-rates", "--class-weights"):
        assert name in done.out
    assert "distilbert finetune --task text-classification --model models/minilm" in done.out
