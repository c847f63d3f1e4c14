"""What an export may replace, and what is left after a failure. No runtime runs, and files hold a few bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from distilbert import DistilBertForSequenceClassification
from distilbert.core.errors import ExportError, InputError
from distilbert.exporting import exporter
from distilbert.exporting.exporter import export


class FakeFormat:
    """Files whose content does not matter: the model itself runs in their place."""

    def __init__(self, model: Any = None) -> None:
        self.model = model

    def write(self, target: Any, model: Any, path: Path, precision: str, feeds: Any) -> None:
        self.model, self.names = model, target.files[precision]
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            (path.parent / Path(name).name).write_text(precision)

    def open(self, target: Any, path: Path, head: Any) -> Any:
        assert path.is_file()
        return exporter.model_function(self.model)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeFormat:
    fake = FakeFormat()
    monkeypatch.setattr(exporter, "write_file", fake.write)
    monkeypatch.setattr(exporter, "open_file", fake.open)
    return fake


@pytest.fixture
def model(models: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(models / "labels", tmp_path / "model"))
    for name in ("README.md", "LICENSE", "NOTICE.txt"):
        (folder / name).write_text(name)
    (folder / "checkpoint-1").mkdir()
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def retrain(folder: Path) -> None:
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias.add_(1)
    model.save_pretrained(folder)


COMPANIONS = {
    "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "README.md", "LICENSE", "NOTICE.txt", "export.json",
}  # fmt: skip


def test_a_folder_holds_what_belongs_to_a_model_and_nothing_else(fake: FakeFormat, model: Path, tmp_path: Path) -> None:
    result = export(model, tmp_path / "new" / "out")
    assert set(tree(result.folder)) == COMPANIONS | {"onnx/model.onnx"} == set(result.files)
    assert result.files[-1] == "export.json"
    assert json.loads((result.folder / "config.json").read_text())["dtype"] == "float32"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    (result.folder / "config.json").write_text("{} ")
    result = export(model, result.folder, to="openvino", precision="int8")
    assert result.files == ["openvino_model.bin", "openvino_model.xml", "export.json"]
    assert (result.folder / "config.json").read_text() == "{} "
    assert set(tree(result.folder)) == COMPANIONS | {"onnx/model.onnx", "openvino_model.xml", "openvino_model.bin"}
    assert set(json.loads((result.folder / "export.json").read_text())["files"]) == {
        "onnx/model.onnx",
        "openvino_model.xml",
    }


def test_an_export_that_differs_leaves_nothing(fake: FakeFormat, model: Path, tmp_path: Path) -> None:
    class Wrong(FakeFormat):
        def open(self, target: Any, path: Path, head: Any) -> Any:
            right = super().open(target, path, head)
            return lambda ids, mask: {name: array + 2e-4 for name, array in right(ids, mask).items()}

    wrong = Wrong()
    before = tree(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "write_file", wrong.write)
        patch.setattr(exporter, "open_file", wrong.open)
        with pytest.raises(
            ExportError, match=r"differs from the model by 0\.0002 at logits\[.*Nothing was written to "
        ):
            export(model, tmp_path / "out")
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()
    result = export(model, tmp_path / "out")
    before = tree(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "write_file", wrong.write)
        patch.setattr(exporter, "open_file", wrong.open)
        with pytest.raises(ExportError):
            export(model, result.folder, overwrite=True)
    assert tree(tmp_path) == before


def test_an_exporter_that_fails_is_one_message_and_leaves_nothing(
    fake: FakeFormat, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        fake.write(*arguments)
        raise RuntimeError("no such operator")

    monkeypatch.setattr(exporter, "write_file", fail)
    with pytest.raises(ExportError, match="export to onnx failed, and nothing was written to .*out: no such operator"):
        export(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_interrupted_export_leaves_nothing(
    fake: FakeFormat, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any) -> None:
        fake.write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(exporter, "write_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(model, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_same_export_is_replaced_only_when_asked(fake: FakeFormat, model: Path, tmp_path: Path) -> None:
    folder = export(model, tmp_path / "out").folder
    with pytest.raises(InputError, match=r"model\.onnx is there already.*--overwrite"):
        export(model, folder)
    export(model, folder, overwrite=True)
    export(model, folder, to="openvino")
    with pytest.raises(InputError, match=r"openvino_model\.xml is there already"):  # of another precision, by that name
        export(model, folder, to="openvino", precision="fp16")


def test_exports_of_other_weights_do_not_mix(fake: FakeFormat, model: Path, tmp_path: Path) -> None:
    folder = export(model, tmp_path / "out").folder
    export(model, folder, to="openvino")
    retrain(model)
    before = tree(folder)
    with pytest.raises(InputError, match="are of other weights"):
        export(model, folder, precision="fp16")
    assert tree(folder) == before
    export(model, folder, precision="fp16", overwrite=True)
    assert set(tree(folder)) == COMPANIONS | {"onnx/model_fp16.onnx"}


def test_other_content_is_left_alone(fake: FakeFormat, model: Path, models: Path, tmp_path: Path) -> None:
    other = shutil.copytree(models / "answers", tmp_path / "other")
    before = tree(other)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds a model already"):
            export(model, other, overwrite=overwrite)
    assert tree(other) == before
    with pytest.raises(InputError, match="is a file"):
        export(model, other / "config.json")
    (other / "export.json").write_text("{}")
    with pytest.raises(InputError, match="was not written by 'distilbert export'"):
        export(model, other)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "notes.txt").write_text("notes")
    assert set(tree(export(model, notes).folder)) == COMPANIONS | {"onnx/model.onnx", "notes.txt"}


def test_the_models_own_folder_gets_the_export_and_keeps_the_rest(fake: FakeFormat, model: Path, models: Path) -> None:
    before = tree(model)
    result = export(model, model)
    added = set(tree(model)) - set(before)
    assert added == {"onnx/model.onnx", "export.json", "tokenizer.json", "special_tokens_map.json"}
    assert {name: tree(model)[name] for name in before} == before
    assert set(result.files) == added
    with pytest.raises(InputError, match="needs a folder of its own"):
        export(model, model, precision="fp16", head="")


def test_a_bert_needs_a_folder_for_its_twin(fake: FakeFormat, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    folder = tmp_path / "bert"
    config = BertConfig(
        vocab_size=97, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=23,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    with pytest.raises(InputError, match="holds a BERT"):
        export(folder, folder)
    result = export(folder, tmp_path / "twin")
    values = json.loads((result.folder / "config.json").read_text())
    assert (values["model_type"], values["architectures"]) == ("distilbert", ["DistilBertModel"])
