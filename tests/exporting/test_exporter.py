"""Every head in every format: files, inputs and outputs, and the same answers as the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilbert import AutoTokenizer, DistilBertConfig
from distilbert.core.errors import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS
from distilbert.exporting import verification
from distilbert.exporting.exported_runner import load_exported
from distilbert.exporting.exporter import export
from distilbert.exporting.formats import FORMATS
from distilbert.exporting.libraries import import_openvino, quiet
from distilbert.exporting.runtime_sessions import SESSIONS
from distilbert.models import pytorch
from distilbert.models.pytorch.runner import PytorchRunner

from .conftest import MakeExport

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")
ROOT = Path(__file__).parents[2]
NAMES = {
    "labels": "ForSequenceClassification",
    "encoder": "",
    "masked-lm": "ForMaskedLM",
    "entities": "ForTokenClassification",
    "answers": "ForQuestionAnswering",
    "choices": "ForMultipleChoice",
    "multi-label": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
}
QUICK = [("labels", "onnx"), ("labels", "openvino"), ("answers", "onnx"), ("choices", "openvino")]
RUNNERS = {"onnx": "onnxruntime", "openvino": "openvino"}
EVERY = [
    pytest.param(name, to, marks=() if (name, to) in QUICK else pytest.mark.slow) for name in NAMES for to in RUNNERS
]


def load_source(models: Path, name: str) -> Any:
    return getattr(pytorch, HEADS[NAMES[name]].architecture).from_pretrained(models / name)


def batches(seed: int = 0) -> list[Batch]:
    """One token, one longest sequence, many lengths, rows of some tokens of some sequences."""
    draw = np.random.default_rng(seed)
    sequences = [draw.integers(5, 90, length).tolist() for length in (1, 64, 7, 12, 7)]
    return [
        Batch.of(sequences[:1]),
        Batch.of(sequences[1:2]),
        Batch.of(sequences),
        Batch.of(sequences, [[0], [3, 63], [], [11, 2], list(range(7))]),
    ]


@pytest.mark.parametrize(("name", "to"), EVERY)
def test_a_runner_answers_as_the_model_does(exported: MakeExport, models: Path, name: str, to: str) -> None:
    folder = exported(name, to)
    runner = load_exported(folder, RUNNERS[to], threads=1)
    plain_runner = PytorchRunner(load_source(models, name))
    assert runner.head.name == NAMES[name]
    assert runner.config.to_dict() == DistilBertConfig.from_pretrained(folder).to_dict()
    for batch in batches():
        expected, actual = plain_runner(batch), runner(batch)
        assert list(actual) == list(expected)
        for output, array in actual.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, expected[output], atol=1e-4)


def test_inputs_and_outputs_have_the_names_and_axes_of_the_field(exported: MakeExport) -> None:
    graph = onnx.load(exported("answers", "onnx") / "onnx" / "model.onnx").graph
    both = ["batch_size", "sequence_length"]
    assert axes(graph.input) == {"input_ids": both, "attention_mask": both}
    assert axes(graph.output) == {"start_logits": both, "end_logits": both}
    model = import_openvino().Core().read_model(exported("choices", "openvino") / "openvino_model.xml")
    for ports, names in ((model.inputs, ["input_ids", "attention_mask"]), (model.outputs, ["logits"])):
        assert [each.any_name for each in ports] == names
        assert all(each.partial_shape.is_dynamic for each in ports)


def axes(values: Any) -> dict[str, list[str]]:
    return {each.name: [dim.dim_param for dim in each.type.tensor_type.shape.dim] for each in values}


@pytest.mark.parametrize("to", ["openvino", pytest.param("onnx", marks=pytest.mark.slow)])
def test_several_choices_are_scored_together(exported: MakeExport, models: Path, to: str) -> None:
    session = SESSIONS[RUNNERS[to]](exported("choices", to) / FORMATS[to].files["fp32"][0], 1)
    ids = np.random.default_rng(1).integers(5, 90, (2, 3, 9))
    mask = np.ones_like(ids)
    mask[1, 2, 4:] = 0
    with torch.inference_mode():
        reference = load_source(models, "choices")(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
        ).logits
    logits = session(ids, mask)["logits"]
    assert logits.shape == (2, 3)
    np.testing.assert_allclose(logits, reference.numpy(), atol=1e-4)


def test_precisions_share_a_folder_and_become_smaller(exported: MakeExport, models: Path) -> None:
    for precision in ("int8", "fp32", "fp16"):
        folder = exported("labels", "onnx", precision)
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == [
        "model.onnx",
        "model_fp16.onnx",
        "model_quantized.onnx",
    ]
    weights = {
        name: sum(
            onnx.numpy_helper.to_array(each).nbytes for each in onnx.load(folder / "onnx" / name).graph.initializer
        )
        for name in ("model.onnx", "model_fp16.onnx", "model_quantized.onnx")
    }
    assert weights["model_fp16.onnx"] < 0.51 * weights["model.onnx"]
    assert weights["model_quantized.onnx"] < 0.5 * weights["model.onnx"]
    record = json.loads((folder / "export.json").read_text())
    assert {name: entry["precision"] for name, entry in record["files"].items()} == {
        "onnx/model.onnx": "fp32",
        "onnx/model_fp16.onnx": "fp16",
        "onnx/model_quantized.onnx": "int8",
    }
    assert record["files"]["onnx/model_fp16.onnx"]["checked"]["random"]["largest_difference"] > 0
    texts = ["a big river in germany", "the worst movie"]
    exported_tokenizer, tokenizer = (
        AutoTokenizer.from_pretrained(folder),
        AutoTokenizer.from_pretrained(models / "labels"),
    )
    assert exported_tokenizer(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert (folder / "tokenizer.json").is_file()
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"] == "DistilBertTokenizer"


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_coarser_precisions_are_near_and_not_the_same(exported: MakeExport, precision: str) -> None:
    exact = load_exported(exported("labels", "onnx"), "onnxruntime", precision="fp32")
    coarse = load_exported(exported("labels", "onnx", precision), "onnxruntime", precision=precision)
    expected, actual = (runner(batches()[2])["logits"] for runner in (exact, coarse))
    assert 0 < np.abs(expected - actual).max() < {"fp16": 0.05, "int8": 1.5}[precision]


@pytest.mark.slow
def test_calibration_is_what_openvino_quantizes_by(
    exported: MakeExport, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        verification, "INT8_MEAN_CHANGE", 1.0
    )  # weights drawn at random do not survive rounded activations
    texts = tmp_path / "texts.txt"
    texts.write_text("the big river\nwhere do you live?\tin berlin\n\n" * 2, encoding="utf-8")
    result = export(models / "labels", tmp_path / "out", to="openvino", precision="int8", calibration=texts)
    assert load_exported(result.folder, "openvino", precision="int8")(batches()[2])["logits"].shape == (5, 5)
    counts = [
        (folder / "openvino_model.xml").read_text().count('type="FakeQuantize"')
        for folder in (result.folder, exported("labels", "openvino", "int8"))
    ]
    assert counts[0] > 0 == counts[1]  # only rounded activations need to know their ranges


def test_a_program_runs_without_this_package(exported: MakeExport, models: Path) -> None:
    with quiet():
        program = torch.export.load(exported("labels", "torch") / "model.pt2").module()
    ids = torch.randint(5, 90, (3, 8))
    with torch.inference_mode():
        reference = load_source(models, "labels")(input_ids=ids).logits
        actual = program(input_ids=ids, attention_mask=torch.ones_like(ids))
    torch.testing.assert_close(actual, {"logits": reference}, atol=1e-4, rtol=0)


@pytest.mark.parametrize("to", FORMATS)
def test_no_file_names_a_path_of_this_machine(exported: MakeExport, to: str) -> None:
    for path in exported("labels", to).rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(ROOT).encode() not in content, path
            assert b"modeling.py" not in content, path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onxx"}, "no export to 'onxx'. Did you mean 'onnx'"),
        ({"to": "torch", "precision": "int8"}, "torch comes in fp32, fp16, not in 'int8'"),
        ({"precision": "bf16"}, "onnx comes in fp32, fp16, int8, not in 'bf16'"),
        ({"calibration": "texts.txt"}, "openvino in int8 alone, not to onnx in fp32"),
        ({"head": "ForQuestionAnswering"}, "is a DistilBertForSequenceClassification, and the task needs a"),
    ],
)
def test_options_that_cannot_be_used_write_nothing(
    models: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export(models / "labels", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_head_needs_weights_and_the_encoder_can_do_without_one(models: Path, tmp_path: Path) -> None:
    config = json.loads((models / "labels" / "config.json").read_text()) | {"architectures": None}
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((models / "labels" / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"no weights for qa_outputs\.weight, qa_outputs\.bias.*train it first"):
        export(folder, tmp_path / "out", head="ForQuestionAnswering")
    result = export(folder, tmp_path / "out", head="")
    assert (result.architecture, result.has_tokenizer, result.on_sentences) == ("DistilBertModel", False, None)
    reference = PytorchRunner(pytorch.DistilBertModel.from_pretrained(models / "labels"))(batches()[2])
    actual = load_exported(result.folder, "onnxruntime")(batches()[2])
    np.testing.assert_allclose(actual["last_hidden_state"], reference["last_hidden_state"], atol=1e-4)
