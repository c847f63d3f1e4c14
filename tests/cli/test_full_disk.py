"""A disk that becomes full: one line that names the file, exit code 1, and nothing half written is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.make_models import make

from .helpers import ROOT, Done

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a small disk is mounted, as root on Linux"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models"), "labels")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def command(folder: Path, *arguments: str) -> Done:
    """Run the command in a process of its own, which a library could end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "DISTILBERT_DEBUG": ""}
    done = subprocess.run(
        [sys.executable, "-m", "distilbert", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


COMMANDS = {
    "safetensors": ("convert MODEL small/new/m", "small/new/m"),
    "pytorch": ("convert MODEL small/m --to pytorch_model.bin", "small/m"),
    "tensorflow": ("convert MODEL small/m --to tf_model.h5", "small/m"),
    "flax": ("convert MODEL small/m --to flax_model.msgpack", "small/m"),
    "fit": ("fit --model MODEL --data labels.csv --output small/m", "small/m"),
    "package": ("package MODEL --name m --output small/dist", "small/dist/m-1.0.0-py3-none-any.whl"),
    "torch.export": ("export MODEL --to torch --output small/m", "small/m"),
    "onnx": ("export MODEL --to onnx --output small/m", "small/m"),
    "openvino": ("export MODEL --to openvino --output small/m", "small/m"),
    "evaluate": ("evaluate --model MODEL --data labels.csv --output small/m", "small/m"),
}
SLOW = ("torch.export", "onnx", "openvino")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in COMMANDS])
def test_nothing_half_written_is_left(disk: Path, model: Path, name: str) -> None:
    rows = "".join(f"a good film {number},{('joy', 'fear')[number % 2]}\n" for number in range(40))
    (disk.parent / "labels.csv").write_text(f"text,label\n{rows}")
    line, path = COMMANDS[name]
    done = command(disk.parent, *line.replace("MODEL", str(model)).split())
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"distilbert: {path}: No space left on device"
    assert "Traceback" not in done.err
    assert list(disk.rglob("*")) == []


@pytest.mark.parametrize("output", ["out.npy", "out.parquet", "out.jsonl", "out/"])
def test_a_run_keeps_its_results_and_names_the_file(disk: Path, model: Path, output: str) -> None:
    (disk.parent / "in.txt").write_text("a good film\n" * 400)
    arguments = ["--model", str(model), "--output", f"small/{output}"]
    if output == "out.npy":
        done = command(disk.parent, "embed", "in.txt", *arguments)
    else:
        workers = ["--workers", "1"] if output == "out/" else []
        done = command(disk.parent, "run", "--input", "in.txt", *arguments, *workers)
    assert done.code == 1
    assert f"small/{output}" in done.err
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert not [path for path in disk.rglob("*") if path.name.endswith(".tmp")]


def test_a_cache_of_tokens_names_its_folder(disk: Path, model: Path) -> None:
    (disk.parent / "text.txt").write_text("a good film and a bad one\n" * 3000)
    done = command(disk.parent, "prepare", "text.txt", "--tokenizer", str(model), "--cache", "small/cache")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("distilbert: small/cache")
    assert done.err.splitlines()[-1].endswith(": No space left on device")
