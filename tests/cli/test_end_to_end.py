"""The command as people use it, with tiny real models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.behaviour.make_models import make

from .helpers import ROOT, Command, Done


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("labels", "masked-lm", "encoder", "entities", "answers", "choices", "nli"):
        make(folder, name)
    return folder


@pytest.fixture
def real(cli: Command, monkeypatch: pytest.MonkeyPatch, models: Path) -> Command:
    """The command in this process, with the real pipeline, among the models."""
    monkeypatch.undo()
    monkeypatch.chdir(models)
    cli.folder = models
    return cli


def shell(line: str, cwd: Path) -> Done:
    script = f'distilbert() {{ "{sys.executable}" -W error -m distilbert "$@"; }}\n{line}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("command", ["run", "convert", "tokenize", "info", "pack"])
def test_the_example_of_each_help_works_word_for_word(cli: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "models").mkdir()
    make(tmp_path / "made", "encoder").rename(tmp_path / "models" / "minilm")
    line = cli(command, "--help").out.rpartition("Example:\n")[2]
    if command == "convert":  # six layers there, two layers here
        line = line.replace("0,2,4", "0,1")
    done = shell(line, tmp_path)
    assert (done.code, done.err) == (0, "")
    if command == "run":
        assert isinstance(done.answers[0], float)


@pytest.mark.parametrize(
    ("arguments", "line", "expected"),
    [
        ("--model labels", "i love this film", {"label", "score"}),
        ("--model labels --task sentiment-analysis", "bad\tgood", {"label", "score"}),
        ("--model answers", "who is john\tjohn is good", {"answer", "score", "start", "end"}),
        ("--model choices", "a city\twhat\tred\tblue\tgreen", {"answer", "index", "scores"}),
        (
            "--model nli --task zero-shot-classification --candidate-labels a,b",
            "film",
            {"sequence", "labels", "scores"},
        ),
    ],
)
def test_a_task_answers_lines(real: Command, arguments: str, line: str, expected: set[str]) -> None:
    done = real("run", *arguments.split(), stdin=f"{line}\n")
    assert (done.code, done.err) == (0, "")
    assert set(done.answers[0]) == expected


def test_tasks_with_several_answers(real: Command) -> None:
    entities = real(
        "run", "--model", "entities", "--aggregation-strategy", "simple", "--stride", "4", stdin="john in paris\n"
    )
    assert {"entity_group", "word"} <= set(entities.answers[0][0])
    fills = real("run", "--model", "masked-lm", "--top-k", "3", stdin="a [MASK] film\n")
    assert len(fills.answers[0]) == 3
    labels = real("run", "--model", "labels", "--top-k", "5", stdin="a film\n")
    assert len(labels.answers[0]) == 5
    vector = real("run", "--model", "encoder", "--param", "pooling=mean", stdin="a film\n")
    assert len(vector.answers[0]) == 24
    ranked = real("run", "--model", "encoder", "--source", "red film", "--precision", "fp32", stdin="good\nred film\n")
    assert ranked.answers[0]["sentence"] == "red film"
    assert ranked.answers[0]["score"] == pytest.approx(1)
    done = real("run", "--model", "masked-lm", "--on-error", "skip", stdin="no mask\na [MASK]\n")
    assert len(done.answers) == 1
    assert "standard input:1: the input has no [MASK]" in done.err


def test_a_missing_model_is_one_message(real: Command) -> None:
    done = real("run", "--model", "./gone", stdin="x\n")
    assert done.code == 1
    assert done.err.startswith("distilbert: There is no folder gone")
    assert len(done.err.splitlines()) == 1


def test_convert(real: Command, tmp_path: Path) -> None:
    new = str(tmp_path / "new")
    done = real(
        "convert", "labels", new, "--layers", "1", "--head", "none", "--dtype", "bfloat16", "--to", "pytorch_model.bin"
    )
    assert (done.code, done.err) == (0, "")
    assert "DistilBertModel of 1 layer " in done.out
    assert "left behind: classifier.bias" in done.out
    assert "  pytorch_model.bin\n" in done.out
    assert real("convert", "labels", new).code == 2
    assert real("convert", "labels", new, "--overwrite").code == 0
    assert real("convert", "labels", str(tmp_path / "x"), "--layers", "7").code == 2


def test_info_of_a_model(real: Command) -> None:
    summary = json.loads(real("info", "labels", "--json", "--tensors").out)
    assert summary["config"]["n_layers"] == 2
    assert summary["labels"]["2"] == "fear"
    counts = summary["parameters"]
    assert counts["total"] == counts["embeddings"] + counts["layer 0"] + counts["layer 1"] + counts["head"]
    assert summary["tensors"]["classifier.weight"] == "float32 (5, 24)"
    assert summary["tokenizer"]["longest input"] == 64
    text = real("info", "labels").out
    assert f"total       {counts['total']:,}" in text
    assert "\x1b" not in text


def test_info_of_the_machine(real: Command) -> None:
    summary = json.loads(real("info", "--json").out)
    assert summary["packages"]["torch"] != "not installed"
    assert summary["extras"]["torch"] == "installed"
    assert "dev" not in summary["extras"]
    assert "threads" in summary["devices"]["cpu"]
    assert "python" in real("info").out


def test_tokenize(real: Command) -> None:
    for slow in ([], ["--slow"]):
        done = real("tokenize", "A  film!", "--model", "labels", *slow)
        assert done.answers[0]["tokens"] == ["[CLS]", "a", "film", "!", "[SEP]"]
        assert done.answers[0]["offsets"] == [[0, 0], [0, 1], [3, 7], [7, 8], [0, 0]]
    done = real("tokenize", "--vocab", "labels/vocab.txt", "--pair", stdin="a\tb\nc\td\n")
    assert [answer["text_pair"] for answer in done.answers] == ["b", "d"]
    assert done.answers[0]["tokens"] == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert real("tokenize", "--model", "labels", "--pair", stdin="a\n").code == 1
    assert real("tokenize", "a", "--model", "labels", "--pair").code == 2
    table = real("tokenize", "film", "--model", "labels", "--format", "table").out
    assert "characters" in table
    assert "3 tokens" in table


def test_no_command_overwrites_what_it_reads(real: Command) -> None:
    done = real("convert", "labels", "labels", "--overwrite")
    assert done.code == 1
    assert "is the folder that is converted" in done.err
    folder = real.folder / "reports"
    folder.mkdir()
    content = "text,label\na,anger\nb,joy\n"
    (folder / "report.html").write_text("x")
    (folder / "predictions.jsonl").write_text('{"text": "a", "label": "anger"}\n')
    done = real(
        "evaluate", "--model", "labels", "--data", "reports/predictions.jsonl", "--output", "reports", "--overwrite"
    )
    assert done.code == 1
    assert "reports/predictions.jsonl is read, and would be overwritten" in done.err
    (folder / "texts.csv").write_text(content)
    arguments = ("--calibration", "reports/texts.csv", "--metric-data", "reports/texts.csv", "--overwrite")
    done = real("quantize", "labels", *arguments, "--output", "reports")
    assert done.code == 1
    assert "reports/texts.csv is in reports, which would be replaced with it" in done.err
    assert (folder / "texts.csv").read_text() == content
    done = real("quantize", "labels", *arguments, "--output", ".")
    assert done.code == 1
    assert "would be replaced with it" in done.err
