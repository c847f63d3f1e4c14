"""An exported folder in transformers.js under Node. The package is taken from npm's cache; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from distilbert.core.installed import installed_models
from distilbert.exporting.exported_runner import load_exported
from distilbert.exporting.exporter import export
from distilbert.tasks import pipeline

pytest.importorskip("onnxscript")
PACKAGE = "@huggingface/transformers"
MODEL = "distilbert-mini-sst2"
TEXTS = [
    "A warm and funny film.",
    "Two hours of noise.",
    "Not bad, but far too long.",
    "Café crème, naïve & 日本 — 10€!",
]
SCRIPT = """
import { env, pipeline } from '@huggingface/transformers';
const [root, name, texts, dtypes] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = root;
const answers = {};
for (const dtype of JSON.parse(dtypes)) {
  const classify = await pipeline('text-classification', name, { dtype });
  answers[dtype] = [];
  for (const text of JSON.parse(texts)) answers[dtype].push(...(await classify(text)));
}
console.log(JSON.stringify(answers));
"""
DTYPES = {"fp32": ("fp32", 1e-4), "fp16": ("fp16", 1e-2), "q8": ("int8", 1e-2)}  # names there, names and limits here


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds transformers.js."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm or node is not there")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    # The scripts of its runtime would only fetch what a GPU needs.
    install = ["npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", PACKAGE]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{PACKAGE} is not in npm's cache")
    (folder / "run.mjs").write_text(SCRIPT)
    return folder


@pytest.mark.slow
def test_transformers_js_gives_the_same_labels(node: Path, tmp_path: Path) -> None:
    if MODEL not in installed_models():
        pytest.skip(f"the package {MODEL} is not installed")
    for precision in ("fp32", "fp16", "int8"):
        export(MODEL, tmp_path / "exported", precision=precision)
    arguments = [f"{tmp_path}/", "exported", json.dumps(TEXTS), json.dumps(list(DTYPES))]
    done = subprocess.run(
        ["node", "run.mjs", *arguments], cwd=node, capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    labels = [answer["label"] for answer in pipeline("text-classification", MODEL, precision="fp32")(TEXTS)]
    for dtype, (precision, tolerance) in DTYPES.items():
        runner = load_exported(tmp_path / "exported", "onnxruntime", precision=precision)
        task = pipeline("text-classification", runner, tokenizer=tmp_path / "exported", batch_size=1)
        assert [answer["label"] for answer in answers[dtype]] == labels
        for actual, expected in zip(answers[dtype], task(TEXTS), strict=True):
            assert actual["score"] == pytest.approx(expected["score"], abs=tolerance), dtype
