"""``distilbert evaluate``: options, the table, JSON, exit codes, and real data where it is installed."""

from __future__ import annotations

import json
import os

import pytest

from distilbert.tasks import pipeline
from distilbert.training.evaluation.evaluate_config import EvaluateConfig
from tests.real.data import DATA_FOLDER
from tests.training.evaluation.task_cases import write_data, write_model

from .helpers import Command


@pytest.fixture
def real(cli: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with real tasks, in a folder with two models and data."""
    monkeypatch.setattr("distilbert.training.evaluation.task_metrics.pipeline", pipeline)
    write_model(cli.folder / "first", "text-classification")
    write_model(cli.folder / "second", "text-classification", seed=3, n_layers=1)
    write_data(cli.folder, "text-classification")
    return cli


def test_a_table_and_files(real: Command) -> None:
    done = real("evaluate", "--model", "first", "--data", "data.jsonl", "--output", "out", "--samples", "20")
    assert (done.code, done.err) == (0, "")
    for text in ("text-classification, 12 examples", "first reaches accuracy 0.", "Log loss", "Latency p99", "Worst:"):
        assert text in done.out
    assert done.out.endswith("out: evaluation.json, predictions.jsonl, report.html\n")
    assert json.loads(real.read("out/evaluation.json"))["about"]["settings"]["samples"] == 20
    again = real("evaluate", "--model", "first", "--data", "data.jsonl", "--output", "out")
    assert again.code == 1
    assert "holds an evaluation already" in again.err
    replaced = real("evaluate", "--model", "first", "data.jsonl", "--output", "out", "--overwrite", "--no-speed")
    assert replaced.code == 0, replaced.err
    assert "Latency" not in replaced.out


def test_json_is_all_that_is_printed(real: Command) -> None:
    done = real("evaluate", "--model", "first", "--compare", "second", "--data", "data.jsonl", "--json")
    assert (done.code, done.err) == (0, "")
    values = json.loads(done.out)
    assert [model["name"] for model in values["models"]] == ["first", "second"]
    assert set(values["comparison"]["ratios"]) == {"parameters", "bytes", "speed", "latency"}
    assert "predictions" not in values


def test_two_models_in_a_table(real: Command) -> None:
    done = real("evaluate", "--model", "first", "--compare", "second", "--data", "data.jsonl", "--samples", "30")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    header = next(line for line in lines if line.split() == ["first", "second", "difference"])
    assert len(header) <= 80
    layers = next(line for line in lines if line.startswith("Layers"))
    assert layers.split() == ["Layers", "2", "1"]
    assert "Both answer alike in" in done.out
    assert "McNemar's exact test" in done.out


def test_settings_from_a_file_and_columns(real: Command) -> None:
    rows = [json.loads(line) for line in real.read("data.jsonl").splitlines()]
    real.write("named.csv", "said,kind\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    EvaluateConfig(model="first", data=["data.jsonl"], samples=5, speed=False, seed=4).save(real.folder / "c.toml")
    plain = json.loads(real("evaluate", "--config", "c.toml", "--json").out)
    done = real("evaluate", "--config", "c.toml", "--data", "named.csv", "--columns", "text=said, label=kind", "--json")
    assert done.code == 0, done.err
    named = json.loads(done.out)
    assert named["models"] == plain["models"]
    assert named["data"]["columns"] == {"text": "said", "label": "kind"}
    assert named["about"]["settings"]["seed"] == 4


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("--data data.jsonl", 2, "Missing option --model;"),
        ("--model first", 2, "Missing option --data;"),
        ("--model first --data data.jsonl --limit -1", 2, "limit must be 0 or more"),
        ("--model first --data data.jsonl --columns text", 2, "pairs such as text=review"),
        ("--model first --data data.jsonl --sampels 3", 2, "No such option: --sampels"),
        ("--config gone.toml", 2, "There is no configuration at gone.toml."),
        ("--model first --data data.jsonl --task ner", 1, "is a DistilBertForSequenceClassification"),
        ("--model first --data data.jsonl --task nothing", 1, "There is no task 'nothing'."),
        ("--model gone --data data.jsonl", 1, "gone"),
        ("--model first --data gone.jsonl", 1, "gone.jsonl"),
    ],
)
def test_failures_are_one_message(real: Command, line: str, code: int, message: str) -> None:
    done = real("evaluate", *line.split())
    assert done.code == code, done.err
    assert message in done.err
    assert done.err.startswith("distilbert: ")
    assert done.out == ""


def test_text_does_not_steer_the_terminal(real: Command) -> None:
    rows = [{"text": f"a \x1b[31m {n}", "label": f"LABEL_{n % 5}"} for n in range(10)]
    real.write("steering.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    done = real("evaluate", "--model", "first", "--data", "steering.jsonl", "--no-speed", "--samples", "2")
    assert done.code == 0, done.err
    assert "[31m" in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("text-classification", "sst2/dev.tsv"),
        ("token-classification", "wnut17/dev.conll"),
        ("question-answering", "squad/dev.json"),
        ("multiple-choice", "codah/dev.jsonl"),
    ],
)
def test_real_data(real: Command, task: str, name: str) -> None:
    data = DATA_FOLDER / name
    if not data.is_file():
        pytest.skip(f"the data set {name} is not at {data}")
    names = {"num_labels": 2} if task == "text-classification" else {}
    if task == "token-classification":
        kinds = ("person", "location", "corporation", "group", "product", "creative-work")
        tags = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
        names = {"id2label": dict(enumerate(tags))}
    model = write_model(real.folder / "model", task, **names)
    done = real(
        "evaluate", "--model", model, "--data", os.fspath(data), "--limit", "12", "--samples", "20", "--json",
        "--output", "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert values["data"]["examples"] == 12
    assert len(real.read("out/predictions.jsonl").splitlines()) == 12
    assert values["models"][0]["speed"]["requests"] == 12
