"""Which files of a model count when it is asked whether two runs or two vectors come from the same model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from distilbert.core.content_hash import hash_files, model_files
from distilbert.core.errors import ModelNotFoundError
from tests.behaviour.make_models import make

MODULES = '[{"path": "ENCODER"}, {"path": "1_Pooling"}]'


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(name)


def hash_model(folder: Path, is_exported: bool = False) -> str:
    return hash_files(model_files(str(folder), is_exported))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path, "encoder")


def test_what_a_folder_holds_besides_the_model_does_not_count(folder: Path) -> None:
    before = hash_model(folder)
    assert before == hash_files(sorted(path for path in folder.rglob("*") if path.is_file()))
    write(folder, "README.md", "packed/x.packed", "checkpoints/1/model.safetensors", "onnx/model.onnx", "export.json")
    write(folder, "tf_model.h5", "report.html", "runs/1/config.json", ".x.tmp", "1_Pooling/config.json")
    assert hash_model(folder) == before


@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors", "vocab.txt", "quantization.safetensors", "additional_chat_templates/x.jinja"],
)
def test_what_loading_reads_counts(folder: Path, name: str) -> None:
    before = hash_model(folder)
    write(folder, name)
    assert hash_model(folder) != before


@pytest.mark.parametrize("encoder", ["", "0_Transformer"])
def test_modules_count(tmp_path: Path, encoder: str) -> None:
    folder = tmp_path / "model"
    shutil.move(make(tmp_path, "encoder"), folder / encoder)
    hashes = {hash_model(folder / encoder)}
    (folder / "modules.json").write_text(MODULES.replace("ENCODER", encoder))
    hashes.add(hash_model(folder))
    for name in ("1_Pooling/config.json", f"{encoder}/sentence_bert_config.json".lstrip("/")):
        write(folder, name)
        hashes.add(hash_model(folder))
    assert len(hashes) == 4


def test_the_files_of_an_export_count_where_it_is_read(folder: Path) -> None:
    write(folder, "onnx/model.onnx")
    of_weights, of_export = hash_model(folder), hash_model(folder, is_exported=True)
    (folder / "onnx" / "model.onnx").write_text("another")
    assert hash_model(folder) == of_weights
    assert hash_model(folder, is_exported=True) != of_export
    (folder / "model.safetensors").unlink()
    of_export = hash_model(folder)
    write(folder, "packed/x.packed")
    assert hash_model(folder) == of_export
    (folder / "onnx" / "model.onnx").write_text("a third")
    assert hash_model(folder) != of_export


def test_one_format_of_the_weights_counts(folder: Path) -> None:
    write(folder, "pytorch_model.bin")
    assert folder / "pytorch_model.bin" not in model_files(str(folder))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    write(folder, "model.safetensors.index.json")
    names = {path.name for path in model_files(str(folder))}
    assert {"model-00001-of-00001.safetensors", "model.safetensors.index.json"} < names
    for path in folder.glob("model*"):
        path.unlink()
    assert folder / "pytorch_model.bin" in model_files(str(folder))


def test_a_file_and_nothing(folder: Path) -> None:
    assert model_files(str(folder / "config.json")) == [folder / "config.json"]
    with pytest.raises(ModelNotFoundError):
        model_files(str(folder / "absent"))
