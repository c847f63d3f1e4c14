"""``distilbert export``: what it prints, its exit codes, and a folder that another command can use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distilbert.exporting import exporter
from tests.behaviour.make_models import make

from .helpers import Command


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in ("labels", "encoder"):
        make(root, name)
    return root


def test_the_command_says_what_it_wrote_and_what_it_checked(cli: Command, models: Path) -> None:
    pytest.importorskip("onnxscript")
    done = cli("export", str(models / "labels"), "--to", "onnx", "--precision", "int8", "--output", "out")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "DistilBertForSequenceClassification of 2 layers as onnx in int8, written to out:"
    assert re.fullmatch(r"  onnx/model_quantized\.onnx  \d+\.\d kB", lines[-5])
    assert lines[-3] == "checked against the model:"
    change = r"probabilities change by [\d.e-]+ at most, [\d.e-]+ on average; \d of {} labels change"
    assert re.fullmatch(r"  random ids: 7 batches, largest difference [\d.e-]+; " + change.format(18), lines[-2])
    assert re.fullmatch(r"  sentences: 2 batches, largest difference [\d.e-]+; " + change.format(12), lines[-1])
    written = sorted(path.name for path in (cli.folder / "out").rglob("*") if path.is_file())
    assert sorted(line.split()[0].rpartition("/")[2] for line in lines[1:-3]) == written
    done = cli("export", str(models / "labels"), "--to", "onnx", "--precision", "int8", "--output", "out")
    assert (done.code, done.out) == (1, "")
    there = "out/onnx/model_quantized.onnx is there already; name another folder, or replace it (--overwrite)."
    assert done.err == f"distilbert: {there}\n"


def test_openvino_of_an_encoder_turns_vectors(cli: Command, models: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    arguments = ("--to", "openvino", "--task", "feature-extraction", "--precision", "int8", "--output", "out")
    done = cli("export", str(models / "labels"), *arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("DistilBertModel of 2 layers as openvino in int8, written to out:\n")
    assert "openvino_model.bin" in done.out
    assert re.search(r"sentences: .* vectors turn by \(1 - cosine\) [\d.e-]+ at most", done.out)


def test_what_cannot_be_is_one_message(cli: Command, models: Path) -> None:
    labels = str(models / "labels")
    cli.write("empty.txt", "\n")
    cli.write("binary.txt", b"\xff\xfe\x00")
    for arguments, code, message in (
        ((), 2, "MODEL"),
        ((labels, "--to", "onnx"), 2, "--output"),
        ((labels, "--output", "out"), 2, "--to"),
        ((labels, "--to", "tflite", "--output", "out"), 2, "--to"),
        ((labels, "--to", "torch", "--precision", "int8", "--output", "out"), 1, "torch comes in fp32, fp16"),
        (
            (labels, "--to", "onnx", "--precision", "int8", "--calibration", "x", "--output", "out"),
            1,
            "of use to openvino",
        ),
        ((labels, "--to", "onnx", "--task", "poetry", "--output", "out"), 1, "There is no task 'poetry'"),
        ((labels, "--to", "onnx", "--task", "ner", "--output", "out"), 1, "Leave --task out"),
        (("gone", "--to", "onnx", "--output", "out"), 1, "gone"),
        *(
            ((labels, "--to", "openvino", "--precision", "int8", "--calibration", name, "--output", "out"), 1, message)
            for name, message in (("empty.txt", "holds no text"), ("binary.txt", "UTF-8"), ("none.txt", "none.txt"))
        ),
    ):
        done = cli("export", *arguments)
        assert (done.code, done.out) == (code, ""), arguments
        assert message in done.err
        assert "Traceback" not in done.err
    assert not (cli.folder / "out").exists()


def test_an_export_that_differs_ends_in_one_message(
    cli: Command, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "write_file", lambda target, model, path, *_: path.write_text("program"))
    monkeypatch.setattr(
        exporter, "open_file", lambda *_: lambda ids, mask: {"logits": ids[:, :1].repeat(5, axis=1).astype("float32")}
    )
    done = cli("export", str(models / "labels"), "--to", "torch", "--output", "out")
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(
        r"distilbert: The export differs from the model by \S+ at logits\[\d, \d\] for random ids of \d x \d+; "
        r"fp32 allows 0\.0001\. Nothing was written to out\.\n",
        done.err,
    )
    assert not (cli.folder / "out").exists()


def test_a_missing_library_is_named(cli: Command, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    done = cli("export", str(models / "labels"), "--to", "onnx", "--output", "out")
    assert (done.code, done.out) == (1, "")
    assert done.err == "distilbert: This needs 'onnxscript', which is not installed: pip install 'distilbert[export]'\n"
