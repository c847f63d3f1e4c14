"""Models that are installed as packages: found by name without running them, after folders and before the hub."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import distilbert
from distilbert import AutoConfig, AutoTokenizer, DistilBertConfig, InputError, ModelNotFoundError
from distilbert.core.hub import resolve
from distilbert.core.installed import find_installed, installed_models
from distilbert.tasks.loading import default_model
from distilbert.tasks.registry import TASKS
from tests.behaviour.make_models import make
from tests.packages import NAME, install, installed, package
from tests.scripts import python_environment

OFFLINE = {"local_files_only": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("made"))


@pytest.fixture
def site(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may break, on Python's path; the current folder is an empty one."""
    copy = tmp_path / "site"
    shutil.copytree(made, copy)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(copy)
    return copy


def test_a_name_is_found_in_any_spelling_and_nothing_is_imported(site: Path) -> None:
    folder = site / "tiny_labels" / "model"
    assert distilbert.installed_models()[NAME] == folder
    for name in (NAME, "Tiny_Labels", "tiny.labels", "TINY-_.LABELS"):
        assert resolve(name) == folder
    for name in ("tiny", "tiny-labels-", "-tiny-labels", "a/tiny-labels", "tiny labels", "", ".", "tiny-labels\n"):
        assert find_installed(name) is None
    assert "tiny_labels" not in sys.modules


def test_config_and_tokenizer_come_by_name(site: Path) -> None:
    folder = site / "tiny_labels" / "model"
    assert AutoConfig.from_pretrained(NAME) == DistilBertConfig.from_pretrained(folder)
    assert DistilBertConfig.from_pretrained(NAME).id2label[2] == "fear"
    for use_fast in (True, False):
        assert AutoTokenizer.from_pretrained(NAME, use_fast=use_fast)("a film").input_ids[0] == 2
    with pytest.raises(ModelNotFoundError, match="has no folder 'other' in it"):
        resolve(NAME, subfolder="other")


def test_a_folder_comes_first_and_asks_for_no_package(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(Path.cwd(), "labels").rename(NAME)

    def refuse(**_: Any) -> None:
        raise AssertionError("packages were looked up")

    monkeypatch.setattr(importlib.metadata, "entry_points", refuse)
    monkeypatch.setattr("distilbert.core.installed._declared", refuse)
    assert resolve(NAME) == Path(NAME)


def test_an_installed_model_never_asks_the_hub(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("distilbert.core.hub._download", refuse)
    assert resolve(NAME, kind="tokenizer", revision="main").is_dir()
    with pytest.raises(AssertionError, match="the hub was asked"):
        resolve("tiny-labelz")


def test_the_lookup_is_kept_until_something_is_installed(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    ask = importlib.metadata.entry_points

    def counted(**options: Any) -> Any:
        calls.append(options)
        return ask(**options)

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    for _ in range(3):
        assert find_installed(NAME)
        assert find_installed("never-there") is None
    assert len(calls) <= 1
    assert find_installed("later") is None
    os.utime(site, ns=(1, 1))  # so that a coarse clock shows the change too
    install(package(make(tmp_path / "later", "encoder"), name="later", output=tmp_path / "dist"), site)
    assert find_installed("later") == site / "later" / "model"
    assert len(calls) <= 3
    assert list(installed_models()) == sorted(installed_models())


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("tiny_labels/model", r"tiny_labels/model has no config.json"),
        ("tiny_labels/model/config.json", r"tiny_labels/model has no config.json"),
        ("tiny_labels", "Python finds no module 'tiny_labels'"),
    ],
)
def test_an_incomplete_package_is_one_clear_error(site: Path, lost: str, message: str) -> None:
    path = site / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    os.utime(site, ns=(1, 1))
    with pytest.raises(ModelNotFoundError, match=f"(?s){message}.*pip install --force-reinstall --no-deps tiny-labels"):
        resolve(NAME)
    assert NAME not in installed_models()


def test_missing_weights_are_named(site: Path) -> None:
    (site / "tiny_labels" / "model" / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no weights in .*tiny_labels/model"):
        distilbert.AutoModel.from_pretrained(NAME)


@pytest.mark.parametrize("value", ["", "no module", "gone", "os", "sys", "tiny_labels:", "tiny_labels.model.deep"])
def test_a_wrong_entry_point_spoils_only_its_own_name(site: Path, value: str) -> None:
    info = site / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[distilbert.models]\nother = {value}\n")
    os.utime(site, ns=(1, 1))
    assert find_installed(NAME)
    if value == "tiny_labels:":
        assert find_installed("other") == find_installed(NAME)
        return
    with pytest.raises(ModelNotFoundError, match="'other' is installed but not complete"):
        find_installed("other")


def test_a_name_found_nowhere_names_what_is_close(site: Path, tmp_path: Path) -> None:
    for name in ("tiny-label", "user/Tiny_Label"):
        with pytest.raises(ModelNotFoundError, match="no installed model.* with a close name: tiny-labels\\.$"):
            resolve(name, cache_dir=tmp_path, **OFFLINE)
    with pytest.raises(ModelNotFoundError) as error:
        resolve("nothing-like-it", cache_dir=tmp_path, **OFFLINE)
    assert "close name" not in str(error.value)


def test_a_folder_given_loads_no_metadata_reader(site: Path) -> None:
    code = (
        "import sys; from distilbert.core.hub import resolve; before = 'importlib.metadata' in sys.modules\n"
        f"resolve({str(site)!r}); print(before, 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, env=python_environment()
    )
    assert done.stdout == "False False\n", done.stderr


def claim(site: Path, name: str, package: str = "intruder") -> None:
    """Install a package that declares a model which is not called like the package."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[distilbert.models]\n{name} = tiny_labels\n")
    os.utime(site, ns=(1, 1))


@pytest.mark.parametrize("name", [NAME, "Tiny_Labels"])
def test_two_packages_with_one_name_are_an_error(site: Path, name: str) -> None:
    claim(site, name)
    with pytest.raises(ModelNotFoundError, match=r"Several packages declare the model 'tiny-labels': .*intruder"):
        resolve(NAME)
    assert NAME not in installed_models()


def test_a_default_model_comes_from_the_package_of_its_name_alone(site: Path) -> None:
    claim(site, "great-model")
    assert find_installed("great-model") == site / "tiny_labels" / "model"
    assert find_installed("great-model", by_package=True) is None
    assert find_installed(NAME, by_package=True) == site / "tiny_labels" / "model"


def test_a_task_does_not_take_its_default_from_another_package(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TASKS["text-classification"]
    monkeypatch.setitem(TASKS, "text-classification", replace(spec, default_model="great-model", hub_model=None))
    claim(site, "great-model")
    with pytest.raises(InputError, match=r"The default model of text-classification, great-model, is not installed"):
        default_model("text-classification")
