"""``distilbert package``, and how the other commands use installed models: by name, and as defaults of tasks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from distilbert.models.packaging import package
from distilbert.tasks import TASKS
from tests.behaviour.make_models import make
from tests.packages import install

from . import fake
from .helpers import Command

DEFAULT = TASKS["text-classification"].default_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models"), "labels")


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Python's path in which the default model of text classification is a tiny one."""
    root = tmp_path_factory.mktemp("site")
    return install(package(folder, name=DEFAULT, output=root / "dist"), root / "site")


@pytest.fixture
def default(cli: Command, site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(site)
    return site / DEFAULT.replace("-", "_") / "model"


def test_a_wheel_and_a_tree_are_made_and_their_sizes_told(cli: Command, folder: Path) -> None:
    done = cli("package", str(folder), "--name", "Tiny_Labels", "--version", "2", "--license", "mit")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("dist/tiny_labels-2-py3-none-any.whl: ")
    with ZipFile(cli.folder / "dist" / "tiny_labels-2-py3-none-any.whl") as archive:
        weights = archive.getinfo("tiny_labels/model/model.safetensors").file_size
    before = (folder / "model.safetensors").stat().st_size
    assert weights < 0.6 * before
    assert lines[1] == f"  weights: {weights / 1000:.1f} kB, {before / 1000:.1f} kB in {folder}"
    assert lines[2] == "  install: pip install dist/tiny_labels-2-py3-none-any.whl"
    done = cli("package", str(folder), "--source", "--output", ".", "--dtype", "keep")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("  install: pip install ./labels\n")
    assert (cli.folder / "labels" / "pyproject.toml").is_file()


def test_what_cannot_be_is_one_message(cli: Command, folder: Path) -> None:
    make(cli.folder, "labels")
    (cli.folder / "labels" / "vocab.txt").unlink()
    assert cli("package", str(folder)).code == 0
    for arguments, code, message in (
        ((), 2, "MODEL"),
        ((str(folder),), 2, "dist/labels-1.0.0-py3-none-any.whl is there already"),
        ((str(folder), "--name", "a b"), 2, "got 'a b'"),
        ((str(folder), "--version", "x"), 2, "A version is numbers"),
        ((str(folder), "--license", "mine"), 2, "SPDX expression"),
        ((str(folder), "--dtype", "int8"), 2, "--dtype"),
        (("gone",), 1, "There is no model 'gone'"),
        (("labels", "--name", "new"), 1, "neither a vocab.txt nor a tokenizer.json"),
        ((".", "--name", "new"), 1, "There is no config.json in"),
    ):
        done = cli("package", *arguments)
        assert (done.code, done.out) == (code, ""), arguments
        assert message in done.err
        assert "Traceback" not in done.err
    assert [path.name for path in (cli.folder / "dist").iterdir()] == ["labels-1.0.0-py3-none-any.whl"]
    assert cli("package", str(folder), "--overwrite").code == 0


def test_the_example_of_the_help_works(cli: Command, folder: Path) -> None:
    shutil.copytree(folder, cli.folder / "models" / "minilm")
    example = cli("package", "--help").out.rpartition("Example:\n")[2].split()
    assert example[0] == "distilbert"
    assert cli(*example[1:]).code == 0


def test_info_lists_installed_models(cli: Command, default: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(cli("info", "--json").out)["models"][DEFAULT] == str(default)
    assert [DEFAULT, str(default)] in [line.split() for line in cli("info").out.splitlines()]
    assert json.loads(cli("info", DEFAULT, "--json").out)["folder"] == str(default)
    monkeypatch.setattr("distilbert.core.installed._declared", dict)
    assert cli("info").out.splitlines()[-1].split() == ["models", "none"]


@pytest.mark.parametrize("task", ["text-classification", "sentiment-analysis"])
def test_a_task_without_a_model_uses_its_default_and_says_so(cli: Command, default: Path, task: str) -> None:
    done = cli("run", "--task", task, stdin="a film\n")
    assert done.code == 0
    assert done.err == f"distilbert: no --model, so the default of text-classification is used: {DEFAULT}\n"
    assert cli.task.options == {"model": str(default)}  # type: ignore[attr-defined]
    assert done.answers[0]["label"] == "L6"


def test_the_default_is_the_installed_one_and_not_a_folder_of_that_name(
    cli: Command, default: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / DEFAULT).mkdir()
    monkeypatch.undo()
    monkeypatch.chdir(cli.folder)
    monkeypatch.syspath_prepend(default.parents[1])
    done = cli("run", "--task", "text-classification", stdin="a film\n")
    assert done.code == 0, done.err
    assert set(done.answers[0]) == {"label", "score"}
    done = cli("run", "--task", "text-classification", "--model", DEFAULT, stdin="a film\n")
    assert done.code == 1
    assert "There is no config.json in" in done.err


def test_a_ranking_takes_the_default_of_its_task(
    cli: Command, site: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    monkeypatch.setitem(TASKS, "sentence-similarity", replace(TASKS["sentence-similarity"], default_model=DEFAULT))
    for task in ([], ["--task", "sentence-similarity"]):
        done = cli("run", *task, "--source", "x y", stdin="a film\n")
        assert done.code == 0, done.err
        assert f"the default of sentence-similarity is used: {DEFAULT}" in done.err


def test_the_name_of_an_installed_model_can_be_packaged_again(cli: Command, default: Path) -> None:
    done = cli("package", DEFAULT, "--force")
    assert done.code == 0, done.err
    assert done.out.startswith(f"dist/{DEFAULT.replace('-', '_')}-1.0.0-py3-none-any.whl: ")


def test_a_run_with_the_default_goes_on_with_resume(cli: Command, default: Path) -> None:
    cli.write("in.txt", "one\nrefuse me\nthree\n")
    line = ["run", "--task", "text-classification", "--input", "in.txt", "--output", "out.jsonl"]
    assert cli(*line, "--on-error", "stop").code == 1
    done = cli(*line, "--resume", "--on-error", "stop")  # the same command: the default is the same model
    assert (done.code, "in.txt:2" in done.err) == (1, True), done.err


def test_no_model_and_no_default_is_wrong_usage(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = replace(TASKS["text-classification"], default_model="never-installed", hub_model=None)
    monkeypatch.setitem(TASKS, "text-classification", spec)
    monkeypatch.setitem(TASKS, "fill-mask", replace(TASKS["fill-mask"], hub_model=None))
    similarity = replace(TASKS["sentence-similarity"], default_model="", hub_model=None)
    monkeypatch.setitem(TASKS, "sentence-similarity", similarity)
    for arguments, message in (
        (("--task", "fill-mask"), "The task 'fill-mask' has no default model"),
        (
            ("--task", "text-classification"),
            "never-installed, is not installed. In a checkout of distilbert, `make run`",
        ),
        (["--source", "x"], "The task 'sentence-similarity' has no default model"),
        ((), "Name a model: --model FOLDER"),
    ):
        done = cli("run", *arguments, stdin="a film\n")
        assert (done.code, done.out) == (2, ""), arguments
        assert message in done.err
        assert "--model" in done.err
    assert not fake.TASKS
