"""``distilbert quantize``: the folder it writes, its card, the table, and what it refuses."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from safetensors.numpy import load_file

from distilbert.engine import quantization_search
from distilbert.engine.quantization import Quantization
from distilbert.tasks import pipeline
from distilbert.training.evaluation import task_metrics
from distilbert.training.evaluation.quantizer import RunnerScorer
from distilbert.weights.folder import QUANTIZATION
from tests.any_cpu import allow_int8
from tests.training.evaluation.task_cases import write_data, write_model

from .helpers import Command

TEXT = "text-classification"


@pytest.fixture
def real(cli: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with real tasks, in a folder with a model, and data that the model labelled itself."""
    monkeypatch.setattr(task_metrics, "pipeline", pipeline)
    allow_int8(monkeypatch)
    write_model(cli.folder / "model", TEXT)
    write_data(cli.folder, TEXT, count=64)
    label(cli.folder / "data.jsonl", cli.folder / "model")
    return cli


def label(path: Path, model: Path) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    classify = pipeline(TEXT, model, precision="fp32")
    answers = classify([row["text"] for row in rows])
    path.write_text(
        "".join(json.dumps(row | {"label": answer["label"]}) + "\n" for row, answer in zip(rows, answers, strict=True))
    )


def run(real: Command, *more: str, calibration: str = "data.jsonl", data: str = "data.jsonl") -> Any:
    files = ("--calibration", calibration, "--metric-data", data, "--output", "out")
    return real("quantize", "model", *files, *more)


def spoil(monkeypatch: pytest.MonkeyPatch, points: Callable[[int], float]) -> None:
    """Scores that depend on the number of products in int8 alone."""
    honest = RunnerScorer.__call__
    monkeypatch.setattr(
        RunnerScorer,
        "__call__",
        lambda self, runner: (
            honest(self, runner) * 0 + points(len(runner.quantization.ranges if runner.quantization else ()))
        ),
    )


def test_a_folder_that_runs_in_int8(real: Command) -> None:
    before = {path.name: path.read_bytes() for path in (real.folder / "model").iterdir()}
    done = run(real, "--max-drop", "10")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("accuracy on 64 examples of data.jsonl; ")
    assert lines[1].startswith("calibrated on 64 texts (")
    assert lines[2].split() == ["setting", "products", "in", "int8", "score", "drop"]
    assert lines[3].split() == ["fp32", "0", "of", "8", "100.00"]
    assert lines[4].startswith("int8")
    assert lines[-1].startswith("written to out: README.md, config.json, model.safetensors, quantization.safetensors")
    assert {path.name: path.read_bytes() for path in (real.folder / "model").iterdir()} == before
    for name in set(before) - {"model.safetensors"}:
        assert (real.folder / "out" / name).read_bytes() == before[name]
    kept, wrote = (load_file(real.folder / name / "model.safetensors") for name in ("model", "out"))
    assert kept.keys() == wrote.keys()
    assert all((kept[name] == wrote[name]).all() and kept[name].dtype == wrote[name].dtype for name in kept)
    task = pipeline(model=real.folder / "out")
    assert task.runner.precision == "int8"
    assert pipeline(model=real.folder / "out", precision="fp32").runner.precision == "fp32"
    assert not [path for path in real.folder.iterdir() if path.name.endswith(".tmp")]
    # What is written gives what was measured.
    rows = [json.loads(line) for line in real.read("data.jsonl").splitlines()]
    right = sum(
        one["label"] == row["label"] for row, one in zip(rows, task([row["text"] for row in rows]), strict=True)
    )
    quantization = Quantization.load(real.folder / "out")
    assert quantization is not None
    measured = quantization.measured
    assert measured["int8"] == pytest.approx(100 * right / 64)
    assert measured["changed"] == {"answers": 64 - right, "of": 64}
    assert (measured["products"], measured["data"]) == (8, {"name": "data.jsonl", "examples": 64})


def test_the_card_says_what_was_measured(real: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda products: 90.0 if products < 8 else 88.0)
    compared: list[tuple[int, int]] = []
    monkeypatch.setattr(RunnerScorer, "count_changes", lambda self, *indices: compared.append(indices))
    real.write("model/README.md", "---\nlicense: mit\n---\n# My model\n\nKind.\n")
    done = run(real)
    assert done.code == 0, done.err
    assert compared == [(0, 2)]  # fp32 and the setting that passed, the second one tried
    card = real.read("out/README.md")
    assert card.startswith(
        "---\nlicense: mit\n---\n# My model\n\nKind.\n\n## Quantization\n\n7 of the 8 matrix products"
    )
    quantization = Quantization.load(real.folder / "out")
    assert quantization is not None
    (left,) = quantization.measured["floats"]
    assert left not in quantization.ranges
    assert f"`{left}`" in card
    for text in (
        "| Accuracy | points |",
        "| fp32 | 90.00 |",
        "| drop | 0.00 (allowed: 0.5) |",
        "64 examples of `data.jsonl`",
    ):
        assert text in card
    assert f"left in {quantization.float_precision}: {left}\n" in done.out
    table = [line.split() for line in done.out.splitlines() if line.startswith(("fp32", "int8", "without"))]
    assert [row[-2:] for row in table[1:]] == [["88.00", "+2.00"], ["90.00", "+0.00"]]
    assert "without the 1 worst" in done.out
    assert "one of 64 examples is worth 1.56 points" in done.err


def test_json_is_all_that_is_printed(real: Command) -> None:
    done = run(real, "--max-drop", "10", "--json")
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert (values["folder"], values["task"], values["metric"], values["fp32"]) == ("out", TEXT, "accuracy", 100.0)
    assert values["trail"][0]["int8"] == 8
    assert QUANTIZATION in values["files"]


def test_a_gate_that_fails_writes_nothing(real: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda products: 90.0 - products)
    before = sorted([".stdin", *(path.name for path in real.folder.iterdir())])
    done = run(real)
    assert done.code == 1
    assert "no setting stays within that" in done.err
    assert "The best drop reached is 3.00" in done.err
    assert "Nothing was written to out." in done.err
    assert done.out.splitlines()[1].split() == ["fp32", "0", "of", "8", "90.00"]
    assert sorted(path.name for path in real.folder.iterdir()) == before
    assert run(real, "--json").out == ""


def test_what_is_there_stays(real: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(real, "--max-drop", "10").code == 0
    again = run(real, "--max-drop", "10")
    assert again.code == 1
    assert "out is not empty" in again.err
    real.write("out/README.md", "old")
    assert run(real, "--max-drop", "10", "--overwrite").code == 0
    assert "## Quantization" in real.read("out/README.md")
    real.write("out/notes.txt", "mine")
    kept = run(real, "--max-drop", "10", "--overwrite")
    assert kept.code == 1
    assert "would be lost: notes.txt" in kept.err
    assert real.read("out/notes.txt") == "mine"
    twice = real("quantize", "out", "--calibration", "data.jsonl", "--metric-data", "data.jsonl", "--output", "new")
    assert twice.code == 1
    assert "out is quantized already" in twice.err
    (real.folder / "out" / "notes.txt").unlink()
    spoil(monkeypatch, lambda products: 90.0 - products)
    real.write("out/README.md", "old")
    assert run(real, "--overwrite").code == 1
    assert real.read("out/README.md") == "old"


def test_texts_for_calibration(real: Command) -> None:
    """With or without labels, alone or in pairs; the first 512, at least 32."""
    texts = [json.loads(line)["text"] for line in real.read("data.jsonl").splitlines()]
    real.write("plain.txt", "".join(f"{text}\n\n" for text in texts))
    real.write("pairs.txt.gz", gzip.compress("".join(f"{text}\t{text}\n" for text in texts).encode()))
    real.write("bare.csv", "said\n" + "".join(f"{text}\n" for text in texts))
    letters = [f"{first} {second}\n" for first in ascii_lowercase for second in ascii_lowercase]
    real.write("many.txt", "".join(letters[:600]))
    real.write("few.txt", "".join(letters[:31]))
    real.write("blank.txt", "\n\n")
    tokens = {}
    for name, more in {"plain.txt": (), "pairs.txt.gz": (), "many.txt": ()}.items():
        done = run(real, "--max-drop", "50", "--json", "--overwrite", *more, calibration=name)
        assert done.code == 0, done.err
        tokens[name] = json.loads(done.out)["calibration"]
    assert tokens["pairs.txt.gz"]["tokens"] > 1.5 * tokens["plain.txt"]["tokens"]
    assert tokens["many.txt"] == {"name": "many.txt", "texts": 512, "tokens": 4 * 512}
    rows = [json.loads(line) for line in real.read("data.jsonl").splitlines()]
    real.write("named.csv", "said,kind\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows))
    columns = ("--columns", "text=said, label=kind", "--max-drop", "50", "--overwrite")
    done = run(real, *columns, calibration="bare.csv", data="named.csv")
    assert done.code == 0, done.err
    few = run(real, "--overwrite", calibration="few.txt")
    assert few.code == 1
    assert "There are 31 sequences to calibrate on; at least 32 are needed" in few.err
    blank = run(real, "--overwrite", calibration="blank.txt")
    assert blank.code == 1
    assert "blank.txt has no rows" in blank.err


def test_refusals_are_one_message(real: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(real.folder / "other", TEXT, seed=1)
    real.write("short.jsonl", "".join(real.read("data.jsonl").splitlines(keepends=True)[:49]))
    real.write("strange.jsonl", '{"text": "a", "label": "LABEL_0"}\n' * 60 + '{"text": "a", "label": "LABEL_9"}\n')
    real.write("bare.jsonl", '{"text": "a"}\n' * 60)
    shutil.copytree(real.folder / "model", real.folder / "encoder")
    config = json.loads(real.read("encoder/config.json"))
    real.write("encoder/config.json", json.dumps(config | {"architectures": ["DistilBertModel"]}))
    usual = ["model", "--calibration", "data.jsonl", "--metric-data", "data.jsonl", "--output", "out"]
    for line, code, message in (
        (usual[:5], 2, "Missing option '--output'"),
        ([*usual, "--max-drop", "-1"], 2, "--max-drop -1: points of the metric, from 0 to 100"),
        ([*usual, "--max-drop", "nan"], 2, "--max-drop nan"),
        ([*usual, "--columns", "text"], 2, "pairs such as text=review"),
        ([*usual[:-1], "model"], 1, "model is the folder of the model itself"),
        ([*usual[:-1], "data.jsonl"], 1, "data.jsonl is a file"),
        ([*usual[:-1], "other"], 1, "other is not empty"),
        (["gone", *usual[1:]], 1, "gone"),
        (["encoder", *usual[1:]], 1, "The task is sentence-similarity."),
        (["encoder", *usual[1:], "--task", "feature-extraction"], 1, "no metric for the task 'feature-extraction'"),
        ([*usual, "--task", "ner"], 1, "is a DistilBertForSequenceClassification"),
        ([*usual[:4], "short.jsonl", *usual[5:]], 1, "short.jsonl has 49 examples"),
        ([*usual[:4], "strange.jsonl", *usual[5:]], 1, "strange.jsonl:61: the metric data has the label 'LABEL_9'"),
        ([*usual[:4], "bare.jsonl", *usual[5:]], 1, "no column is known as the label"),
        ([*usual[:2], "gone.jsonl", *usual[3:]], 1, "gone.jsonl"),
    ):
        done = real("quantize", *line)
        assert (done.code, done.out) == (code, ""), (line, done.err)
        assert message in done.err
        assert done.err.startswith("distilbert: ")
        assert not (real.folder / "out").exists()
    monkeypatch.setattr(quantization_search, "has_int8", lambda: False)
    done = real("quantize", *usual)
    assert done.code == 1
    assert "int8 needs the compiled kernels" in done.err
