"""Packages of models: what is in them, that they are built right, and that their model is the one that went in."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import stat
from email import message_from_bytes
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ml_dtypes
import numpy as np
import pytest
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename
from safetensors.numpy import load_file, save_file

import distilbert
from distilbert import (
    InputError,
    ModelNotFoundError,
    TokenizerError,
    UnsupportedArchitectureError,
    WeightsError,
    WeightsMismatchError,
    package,
)
from tests.packages import folder_of_a_training_run

MODEL_FILES = {
    "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "README.md", "LICENSE", "NOTICE.txt",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_a_training_run(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def wheel(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(
        folder, name="Tiny_Labels", version="1.2", license="apache-2.0", output=tmp_path_factory.mktemp("dist")
    )


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def tree(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_only_the_files_of_the_model_go_in(wheel: Path) -> None:
    assert wheel.name == "tiny_labels-1.2-py3-none-any.whl"
    info = "tiny_labels-1.2.dist-info"
    assert set(contents(wheel)) == {
        "tiny_labels/__init__.py",
        *(f"tiny_labels/model/{name}" for name in MODEL_FILES),
        *(f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")),
        f"{info}/licenses/LICENSE",
        f"{info}/licenses/NOTICE.txt",
    }


def test_the_record_holds_every_file_with_its_hash_and_size(wheel: Path) -> None:
    files = contents(wheel)
    record = "tiny_labels-1.2.dist-info/RECORD"
    rows = list(csv.reader(io.StringIO(files[record].decode())))
    assert [row[0] for row in rows] == list(files)
    assert rows[-1] == [record, "", ""]
    for name, digest, size in rows[:-1]:
        algorithm, _, value = digest.partition("=")
        assert algorithm == "sha256"
        assert value == base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        assert int(size) == len(files[name])


def test_the_metadata_is_valid_and_says_what_was_asked(wheel: Path) -> None:
    files = contents(wheel)
    assert [str(part) for part in parse_wheel_filename(wheel.name)[:2]] == ["tiny-labels", "1.2"]
    raw = files["tiny_labels-1.2.dist-info/METADATA"]
    found = Metadata.from_email(raw, validate=True)
    assert (found.name, str(found.version), found.license_expression) == ("tiny-labels", "1.2", "Apache-2.0")
    assert found.license_files == ["LICENSE", "NOTICE.txt"]
    assert found.summary == "DistilBertForSequenceClassification of 2 layers, loaded by its name"
    assert found.description == "# Labels\n\nFive feelings: 😀.\n"
    lines = message_from_bytes(files["tiny_labels-1.2.dist-info/WHEEL"])
    assert (lines["Wheel-Version"], lines["Root-Is-Purelib"], lines["Tag"]) == ("1.0", "true", "py3-none-any")
    assert files["tiny_labels-1.2.dist-info/entry_points.txt"] == b"[distilbert.models]\ntiny-labels = tiny_labels\n"


def test_without_card_and_licence_the_metadata_says_less(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    for name in ("README.md", "LICENSE", "NOTICE.txt"):
        (bare / name).unlink()
    made = package(bare, output=tmp_path / "dist")
    assert made.name == "bare-1.0.0-py3-none-any.whl"
    found = Metadata.from_email(contents(made)["bare-1.0.0.dist-info/METADATA"], validate=True)
    assert (found.license_expression, found.license_files) == (None, None)
    assert found.description is not None
    assert 'pipeline(model="bare")' in found.description


def test_the_same_folder_gives_the_same_bytes(folder: Path, wheel: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another"
    copy.mkdir()
    for file in sorted(folder.iterdir(), reverse=True):
        if file.is_file():
            shutil.copyfile(file, copy / file.name)
            os.utime(copy / file.name, (10**9, 10**9))
    (copy / "vocab.txt").chmod(0o600)
    options: dict[str, Any] = {"name": "tiny.labels", "version": "v1.2", "license": "Apache-2.0"}
    again = package(copy, output=tmp_path / "dist", **options)
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
    with ZipFile(again) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {stat.S_IFREG | 0o644}
    trees = [package(each, output=tmp_path / f"{n}", source=True, **options) for n, each in enumerate((folder, copy))]
    assert tree(trees[0]) == tree(trees[1])


@pytest.mark.parametrize(
    ("dtype", "key", "stored"),
    [("bfloat16", "dtype", "bfloat16"), ("float32", "torch_dtype", "float32"), ("keep", None, "float32")],
)
def test_weights_and_configuration_by_type(
    folder: Path, tmp_path: Path, dtype: str, key: str | None, stored: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    values = json.loads((copy / "config.json").read_text()) | {"mine": [1e-12], "finetuning_task": "x"}
    values |= {key: "float16"} if key else {}
    (copy / "config.json").write_text(json.dumps(values))
    files = tree(package(copy, output=tmp_path, name="x", dtype=dtype, source=True) / "src" / "x" / "model")
    assert json.loads(files["config.json"]) == values | ({key: dtype} if key else {})
    assert list(json.loads(files["config.json"])) == list(values)
    if dtype == "keep":
        assert files["config.json"] == (copy / "config.json").read_bytes()
    (tmp_path / "out.safetensors").write_bytes(files["model.safetensors"])
    found, before = load_file(tmp_path / "out.safetensors"), load_file(copy / "model.safetensors")
    assert found.keys() == before.keys()
    for name, array in found.items():
        assert array.dtype == np.dtype(stored)
        assert np.array_equal(array, before[name].astype(np.dtype(stored)))


def test_a_configuration_without_a_type_gets_one(folder: Path, tmp_path: Path) -> None:
    made = package(folder, output=tmp_path, source=True) / "src" / "labels" / "model"
    before = json.loads((folder / "config.json").read_text())
    assert json.loads((made / "config.json").read_text()) == before | {"dtype": "bfloat16"}


def test_whole_numbers_and_older_files_are_kept(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "with-ids"
    shutil.copytree(folder, copy)
    arrays = load_file(copy / "model.safetensors")
    arrays["distilbert.embeddings.position_ids"] = np.arange(64)[None]
    save_file(arrays, copy / "model.safetensors")
    assert distilbert.convert(folder, tmp_path / "old", to="pytorch_model.bin").files
    for each in (copy, tmp_path / "old"):
        made = package(each, output=tmp_path / "dist", source=True)
        found = load_file(made / "src" / each.name.replace("-", "_") / "model" / "model.safetensors")
        expected = arrays if each == copy else load_file(folder / "model.safetensors")
        for name, array in expected.items():
            assert found[name].dtype == (ml_dtypes.bfloat16 if array.dtype == np.float32 else array.dtype)
            assert found[name].shape == array.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "-x"}, "letters, digits, .* got '-x'"),
        ({"name": "a b"}, "got 'a b'"),
        ({"name": "ünder"}, "got 'ünder'"),
        ({"name": "x\n"}, "got"),
        ({"name": ""}, "got ''"),
        ({"name": "2-layers"}, "module '2_layers', which Python cannot import"),
        ({"name": "class"}, "module 'class', which Python cannot import"),
        ({"name": "DistilBERT"}, "would hide Python's module 'distilbert'"),
        ({"name": "json"}, "would hide Python's module 'json'"),
        ({"version": "one"}, "A version is numbers .* got 'one'"),
        ({"version": "1.0\n"}, None),
        ({"license": "free for all"}, "SPDX expression .* got 'free for all'"),
        ({"dtype": "int8"}, "dtype must be one of bfloat16, float32, keep, got 'int8'"),
    ],
)
def test_options_that_cannot_be(folder: Path, tmp_path: Path, options: dict[str, Any], message: str | None) -> None:
    if message is None:  # a version may have space around it, which goes
        assert package(folder, output=tmp_path, **options).name == "labels-1.0-py3-none-any.whl"
        return
    with pytest.raises(InputError, match=message):
        package(folder, output=tmp_path, **options)
    assert not list(tmp_path.iterdir())


def broken(folder: Path, fault: str) -> None:
    """Break a copy of the model folder."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    arrays, values = load_file(weights), json.loads(config.read_text())
    if fault == "no configuration":
        config.unlink()
    elif fault == "no weights":
        weights.unlink()
    elif fault == "no tokenizer":
        (folder / "vocab.txt").unlink()
    elif fault == "another tokenizer":
        (folder / "vocab.txt").write_text((folder / "vocab.txt").read_text() + "surplus\n")
    elif fault == "another model":
        config.write_text(json.dumps(values | {"model_type": "gpt2"}))
    elif fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif fault == "no head":
        save_file({name: array for name, array in arrays.items() if "classifier" not in name}, weights)
    elif fault == "a tensor too few":
        del arrays["distilbert.transformer.layer.1.ffn.lin1.bias"]
        save_file(arrays, weights)
    elif fault == "not a number":
        arrays["classifier.bias"][1] = np.nan
        save_file(arrays, weights)
    elif fault == "too large":
        arrays["classifier.bias"][1] = np.finfo(np.float32).max
        save_file(arrays, weights)


@pytest.mark.parametrize("source", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("no configuration", ModelNotFoundError, "no config.json in"),
        ("no weights", ModelNotFoundError, "There are no weights in"),
        ("no tokenizer", TokenizerError, "neither a vocab.txt nor a tokenizer.json"),
        ("another tokenizer", TokenizerError, "entry of id .*: they do not belong together"),
        ("another model", UnsupportedArchitectureError, "'gpt2' model"),
        ("truncated", WeightsError, "is truncated"),
        ("no head", WeightsMismatchError, "without weights for pre_classifier.weight.*train it first"),
        ("a tensor too few", WeightsMismatchError, "ffn.lin1.bias"),
        ("not a number", WeightsError, "classifier.bias of .* not finite in bfloat16"),
        ("too large", WeightsError, "classifier.bias of .* not finite in bfloat16"),
    ],
)
def test_what_is_no_whole_model_is_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, fault: str, error: type[Exception], message: str, source: bool
) -> None:
    copy = tmp_path / "labels"
    shutil.copytree(folder, copy)
    broken(copy, fault)
    with pytest.raises(error, match=message):
        package(copy, output=tmp_path / "dist", source=source)
    assert not (tmp_path / "dist").exists()


def test_no_folder_and_an_output_that_is_a_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder: a package is made of a model folder"):
        package(tmp_path / "gone", output=tmp_path)
    (tmp_path / "dist").write_text("")
    with pytest.raises(InputError, match="is a file; packages are written into a folder"):
        package(folder, output=tmp_path / "dist")


@pytest.mark.parametrize("source", [False, True])
def test_a_result_that_is_there_stays_unless_asked(folder: Path, tmp_path: Path, source: bool) -> None:
    made = package(folder, output=tmp_path, source=source)
    mark = made / "README.md" if source else made
    before = mark.read_bytes()
    mark.write_bytes(b"older")
    with pytest.raises(InputError, match="is there already"):
        package(folder, output=tmp_path, source=source)
    assert mark.read_bytes() == b"older"
    assert package(folder, output=tmp_path, source=source, overwrite=True) == made
    assert mark.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_a_tree_with_files_of_others_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    made = package(folder, output=tmp_path, source=True)
    for name in ("build/lib/x", "src/labels.egg-info/PKG-INFO", "src/labels/__pycache__/x.pyc"):
        (made / name).parent.mkdir(parents=True)
        (made / name).write_text("")
    (made / "build.md").write_text("how it was made")
    with pytest.raises(InputError, match=r"would be lost: build.md\. Move it away"):
        package(folder, output=tmp_path, source=True, overwrite=True)
    assert (made / "build.md").read_text() == "how it was made"
    (made / "build.md").unlink()
    package(folder, output=tmp_path, source=True, overwrite=True)
    assert {path.name for path in made.iterdir()} == {"LICENSE", "NOTICE.txt", "README.md", "pyproject.toml", "src"}
    (tmp_path / "other").write_text("a file")
    with pytest.raises(InputError, match="is a file, and a folder would take its place"):
        package(folder, output=tmp_path, name="other", source=True, overwrite=True)


@pytest.mark.parametrize("source", [False, True])
def test_a_crash_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: bool
) -> None:
    made = package(folder, output=tmp_path, source=source)
    before = tree(made) if source else made.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("shutil.copytree" if source else "shutil.copyfileobj", fail)
    with pytest.raises(OSError, match="the disk is full"):
        package(folder, output=tmp_path, source=source, overwrite=True)
    assert (tree(made) if source else made.read_bytes()) == before
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "vocab.txt", "config.json", "model.safetensors", "notes.txt"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    """What it points to, a key or a password file, would be published."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    secret = tmp_path / "secret"
    (copy / name).rename(secret) if (copy / name).exists() else secret.write_text("key")
    (copy / name).symlink_to(secret)
    with pytest.raises(InputError, match=rf"{name} is a link to .*secret, outside the model's folder"):
        package(copy, output=tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_links_inside_the_folder_and_in_the_cache_of_the_hub_are_followed(folder: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    shutil.copytree(folder, inside)
    (inside / "LICENSE").rename(inside / "text")
    (inside / "LICENSE").symlink_to("text")
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate(path for path in sorted(folder.iterdir()) if path.is_file()):
        shutil.copyfile(path, blobs / str(number))
        (snapshot / path.name).symlink_to(Path("..", "..", "blobs", str(number)))
    expected = package(folder, name="same", output=tmp_path / "a").read_bytes()
    assert package(inside, name="same", output=tmp_path / "b").read_bytes() == expected
    assert package(snapshot, name="same", output=tmp_path / "c").read_bytes() == expected


@pytest.mark.parametrize("name", ["numpy", "NumPy", "safetensors", "pytest", "huggingface-hub", "yaml"])
def test_the_name_of_an_installed_package_has_to_be_forced(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"The name '{name}' is that of an installed package, which the model would "):
        package(folder, name=name, output=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert package(folder, name=name, output=tmp_path, force=True).is_file()
