"""Exported folders: which file is loaded, what is refused, and batches that no runtime takes as they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from distilbert import AutoModelForSequenceClassification
from distilbert.cli import invoke
from distilbert.core.errors import InputError, ModelNotFoundError, WeightsError
from distilbert.core.runner_protocol import Batch
from distilbert.engine.engine_runner import EngineRunner
from distilbert.exporting.exported_runner import ExportedRunner, load_exported
from distilbert.exporting.exporter import export
from distilbert.tasks import pipeline

from .conftest import MakeExport

pytest.importorskip("onnxscript")
BATCH = Batch.of([[5, 6, 7], [8]])


@pytest.fixture
def folder(exported: MakeExport, tmp_path: Path) -> Path:
    """A copy of ``labels`` in ONNX, in fp32 alone."""
    source, copied = exported("labels", "onnx"), tmp_path / "copy"
    (copied / "onnx").mkdir(parents=True)
    for name in ("config.json", "vocab.txt", "tokenizer_config.json", "onnx/model.onnx"):
        shutil.copyfile(source / name, copied / name)
    return copied


def test_a_task_runs_on_an_exported_folder(exported: MakeExport, models: Path) -> None:
    folder = exported("labels", "onnx")
    texts = ["the best movie in london", "a bad year for the big apple music", "why?"]
    answers = pipeline("text-classification", load_exported(folder, "onnxruntime", threads=1), tokenizer=folder)(texts)
    expected = pipeline("text-classification", models / "labels", precision="fp32")(texts)
    assert [answer["label"] for answer in answers] == [answer["label"] for answer in expected]
    np.testing.assert_allclose([a["score"] for a in answers], [e["score"] for e in expected], atol=1e-4)


def test_the_most_exact_precision_is_taken_unless_one_is_named(exported: MakeExport) -> None:
    for precision in ("int8", "fp16"):
        exported("labels", "onnx", precision)
    folder = exported("labels", "onnx")
    assert isinstance(load_exported(folder, "onnxruntime"), ExportedRunner)
    assert [
        getattr(load_exported(folder, "onnxruntime", precision=name), "precision", None) for name in (None, "int8")
    ] == [
        "fp32",
        "int8",
    ]
    answers = {
        name: load_exported(folder, "onnxruntime", precision=name)(BATCH)["logits"] for name in (None, "fp32", "fp16")
    }
    np.testing.assert_array_equal(answers[None], answers["fp32"])
    assert not np.array_equal(answers[None], answers["fp16"])


def test_openvino_has_one_file_and_the_record_tells_its_precision(exported: MakeExport, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder = tmp_path / "copy"
    shutil.copytree(exported("labels", "openvino"), folder)
    assert load_exported(folder, "openvino", precision="fp32").head.name == "ForSequenceClassification"
    with pytest.raises(
        InputError, match="no openvino export in int8; precisions there: fp32. Make it: distilbert export"
    ):
        load_exported(folder, "openvino", precision="int8")
    (folder / "export.json").unlink()
    with pytest.raises(InputError, match=r"precisions there: none \(one whose precision is not recorded"):
        load_exported(folder, "openvino", precision="fp32")
    assert load_exported(folder, "openvino")(BATCH)["logits"].shape == (2, 5)


def test_files_beside_the_configuration_are_found_too(folder: Path) -> None:
    expected = load_exported(folder, "onnxruntime")(BATCH)["logits"]
    (folder / "onnx" / "model.onnx").rename(folder / "model.onnx")
    np.testing.assert_array_equal(load_exported(folder, "onnxruntime", precision="fp32")(BATCH)["logits"], expected)


@pytest.mark.parametrize(
    ("runner", "options", "message"),
    [
        ("onnx", {}, r"no runner 'onnx'\. onnx runs in onnxruntime"),
        ("onxruntime", {}, "Did you mean 'onnxruntime'"),
        ("torch", {}, "can run code that is hidden in it"),
        ("openvino", {}, r"holds nothing that openvino runs, but onnx/model\.onnx\. Make it: .* --to openvino"),
        ("onnxruntime", {"precision": "fp8"}, "no precision 'fp8'"),
        ("onnxruntime", {"precision": "int8"}, "no onnx export in int8; precisions there: fp32"),
        ("onnxruntime", {"threads": 0}, "threads must be 1 or more, got 0"),
    ],
)
def test_missing_runners_and_precisions_are_named(
    folder: Path, runner: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_exported(folder, runner, **options)  # type: ignore[arg-type]


def test_a_folder_without_an_export_or_a_configuration(models: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="holds nothing that onnxruntime runs, but no export at all"):
        load_exported(models / "labels", "onnxruntime")
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        load_exported(folder, "onnxruntime")


def test_exports_beside_weights_that_were_replaced_are_refused(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models / "labels", folder)
    export(folder, folder, to="onnx")
    before = load_exported(folder, "onnxruntime")(BATCH)["logits"]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.classifier.weight.data.neg_()
    model.save_pretrained(folder)
    with pytest.raises(InputError, match="holds other weights than those that its exports were made of. Export them"):
        load_exported(folder, "onnxruntime")
    export(folder, folder, to="onnx", overwrite=True)
    assert not np.allclose(load_exported(folder, "onnxruntime")(BATCH)["logits"], before)
    (folder / "model.safetensors").unlink()  # as where exports alone are deployed
    assert load_exported(folder, "onnxruntime")(BATCH)["logits"].shape == before.shape


@pytest.mark.parametrize("runner", ["onnxruntime", "openvino"])
def test_a_damaged_file_is_named(exported: MakeExport, tmp_path: Path, runner: str) -> None:
    pytest.importorskip(runner)
    folder = tmp_path / "copy"
    shutil.copytree(exported("labels", "onnx" if runner == "onnxruntime" else "openvino"), folder)
    path = folder / ("onnx/model.onnx" if runner == "onnxruntime" else "openvino_model.xml")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=f"{path.name} cannot be loaded by"):
        load_exported(folder, runner)


def test_a_configuration_of_another_head_is_an_error(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"architectures": ["DistilBertForQuestionAnswering"]}))
    with pytest.raises(InputError, match="computes logits, and its config.json names DistilBertForQuestionAnswering"):
        load_exported(folder, "onnxruntime")


def test_a_model_with_other_inputs_is_an_error(folder: Path) -> None:
    import onnx

    path = folder / "onnx" / "model.onnx"
    proto = onnx.load(path)
    extra = proto.graph.input.add()
    extra.CopyFrom(proto.graph.input[0])
    extra.name = "token_type_ids"
    onnx.save(proto, path)
    with pytest.raises(
        InputError, match="takes input_ids, attention_mask, token_type_ids; an export of a DistilBERT takes"
    ):
        load_exported(folder, "onnxruntime")


def test_batches_that_cannot_run_are_refused(folder: Path) -> None:
    runner = load_exported(folder, "onnxruntime")
    for batch, message in (
        (Batch.of([[5, 9999]]), "9999"),
        (Batch.of([[5] * 65]), "65 tokens and the model knows 64 positions"),
        (Batch.of([[5], []]), "without tokens cannot be classified"),
    ):
        with pytest.raises(InputError, match=message):
            runner(batch)


def test_empty_batches_and_sequences_have_empty_answers(exported: MakeExport, folder: Path) -> None:
    assert load_exported(folder, "onnxruntime")(Batch.of([]))["logits"].shape == (0, 5)
    answers = load_exported(exported("answers", "onnx"), "onnxruntime")
    assert {name: array.shape for name, array in answers(Batch.of([[], []])).items()} == {
        "start_logits": (0,),
        "end_logits": (0,),
    }
    with_empty, without = answers(Batch.of([[], [5, 6], []])), answers(Batch.of([[5, 6]]))
    np.testing.assert_allclose(with_empty["start_logits"], without["start_logits"], atol=1e-5)
    assert answers(Batch.of([[5, 6], [7]], [[], []]))["end_logits"].shape == (0,)


def test_loading_needs_no_pytorch_and_opens_no_connection(exported: MakeExport) -> None:
    pytest.importorskip("openvino")
    script = """
import socket, sys
from pathlib import Path

def refuse(*arguments, **options):
    print("connection", arguments)
    raise OSError

socket.socket.connect = refuse
socket.getaddrinfo = refuse
from distilbert.exporting.exported_runner import load_exported
for runner, folder in zip(("onnxruntime", "openvino"), sys.argv[1:]):
    load_exported(Path(folder), runner, threads=1)
print(*({"torch", "transformers", "openvino_telemetry"} & set(sys.modules)))
"""
    folders = [str(exported("labels", to)) for to in ("onnx", "openvino")]
    done = subprocess.run([sys.executable, "-c", script, *folders], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_folder_of_an_export_names_its_runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no weights but an export, .*model.onnx: pass runner='onnxruntime'"):
        pipeline("text-classification", folder)
    monkeypatch.chdir(folder)
    (folder / "in.txt").write_text("a good film\n")
    arguments = ["run", "--model", ".", "--task", "text-classification", "--input", "in.txt"]
    assert invoke(arguments) == 1
    assert invoke([*arguments, "--runner", "onnxruntime"]) == 0


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0, "mps"])
def test_the_runner_of_an_export_takes_no_other_device(folder: Path, device: str | int) -> None:
    with pytest.raises(InputError, match=f"runner='onnxruntime' runs on the CPU, and device='{device}' is another"):
        pipeline("text-classification", folder, runner="onnxruntime", device=device)
    pipeline("text-classification", folder, runner="onnxruntime", device="cpu")


def test_a_classifier_of_means_is_exported_as_one(models: Path, tmp_path: Path) -> None:
    source = tmp_path / "means"
    shutil.copytree(models / "labels", source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"classifier_pooling": "mean"}))
    folder = export(source, tmp_path / "onnx", to="onnx").folder
    actual = load_exported(folder, "onnxruntime")(BATCH)["logits"]
    means, first_tokens = (EngineRunner.from_folder(path, precision="fp32") for path in (source, models / "labels"))
    np.testing.assert_allclose(actual, means(BATCH)["logits"], atol=1e-4)
    assert not np.allclose(actual, first_tokens(BATCH)["logits"], atol=1e-3)
