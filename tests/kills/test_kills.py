"""Every command that writes, killed at random moments: the output is whole or absent, and the next try ends well."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.behaviour.make_models import make
from tests.training.evaluation.task_cases import write_data
from tests.training.evaluation.task_cases import write_model as write_task_model
from tests.training.finetuning.tiny_tasks import options_of, values_of
from tests.training.tiny_run import ROOT, options, settings, write_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal there"),
]
KILLS = int(os.environ.get("DISTILBERT_KILLS", "20"))
# Int8 on any CPU, as tests in one process have it; see tests/any_cpu.py.
CODE = (
    "import pytest, sys, tests.any_cpu as any_cpu\n"
    "any_cpu.allow_int8(pytest.MonkeyPatch())\n"
    "from distilbert.cli import main\n"
    "main(sys.argv[1:])"
)
VARYING = ("seconds", "tokens_per_second", "created", "about", "speed", "machine", "command", "title", "overall")


@dataclass(frozen=True)
class Case:
    """A command that writes to ``out``.

    Attributes:
        arguments: of the command.
        again: further arguments where a killed one left something; such as ``--resume``.
        files: whose content is the same after every run, relative to the folder of the case.
        refusal: what ``again`` says where the killed one had just completed the output; empty where it succeeds.
    """

    arguments: list[str]
    again: list[str]
    files: list[str]
    refusal: str = ""


def run_case(folder: Path) -> Case:
    make(folder, "labels")
    lines = "".join(json.dumps({"text": f"a film {number}"}) + "\n" for number in range(4000))
    (folder / "in.jsonl").write_text(lines)
    arguments = ["run", "--task", "text-classification", "--model", "labels", "--input", "in.jsonl"]
    arguments += ["--column", "text", "--output", "out.jsonl", "--precision", "fp32", "--batch-tokens", "64"]
    return Case(arguments, ["--resume"], ["out.jsonl"], refusal="out.jsonl exists already")


def distill_case(folder: Path) -> Case:
    values = settings(folder, teacher=write_model(folder / "teacher"), output="out", max_steps=20, checkpoint_every=3)
    return Case(["distill", *options(values)], ["--resume"], ["out/model.safetensors", "out/config.json"])


def finetune_case(folder: Path) -> Case:
    values = values_of(folder, "single", output="out", max_steps=20, checkpoint_every=3)
    return Case(["finetune", *options_of(values)], ["--resume"], ["out/model.safetensors", "out/config.json"])


def evaluate_case(folder: Path) -> Case:
    write_task_model(folder / "model", "text-classification")
    data = write_data(folder, "text-classification", count=64)
    arguments = ["evaluate", "--model", "model", "--data", str(data), "--output", "out", "--no-speed"]
    return Case([*arguments, "--precision", "fp32"], ["--overwrite"], ["out/evaluation.json", "out/predictions.jsonl"])


def quantize_case(folder: Path) -> Case:
    write_task_model(folder / "model", "text-classification")
    data = str(write_data(folder, "text-classification", count=64))
    arguments = ["quantize", "model", "--calibration", data, "--metric-data", data, "--output", "out"]
    return Case([*arguments, "--max-drop", "60"], ["--overwrite"], ["out/quantization.safetensors"])


def export_case(folder: Path) -> Case:
    pytest.importorskip("onnxscript")
    make(folder, "labels")
    arguments = ["export", "labels", "--to", "onnx", "--precision", "fp32", "--output", "out"]
    return Case(arguments, ["--overwrite"], ["out/onnx/model.onnx", "out/config.json"])


def package_case(folder: Path) -> Case:
    make(folder, "labels")
    arguments = ["package", "labels", "--name", "killed-model", "--output", "out"]
    return Case(arguments, ["--overwrite"], ["out/killed_model-1.0.0-py3-none-any.whl"])


CASES: dict[str, Callable[[Path], Case]] = {
    "run": run_case, "distill": distill_case, "finetune": finetune_case, "evaluate": evaluate_case,
    "quantize": quantize_case, "export": export_case, "package": package_case,
}  # fmt: skip


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    paths = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        cwd=folder, env={**os.environ, **paths}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def content(path: Path) -> object:
    """What is the same after every run: of JSON, all but dates and times; of weights, all but the order of metadata."""
    if path.suffix == ".safetensors":
        with safe_open(path, "numpy") as file:
            return file.metadata(), {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
    if path.suffix != ".json":
        return path.read_bytes()
    values = json.loads(path.read_text())
    return {key: value for key, value in values.items() if key not in VARYING}


@pytest.mark.parametrize("command", CASES)
def test_a_kill_at_any_moment(tmp_path: Path, command: str) -> None:
    case = CASES[command](tmp_path)
    began = time.monotonic()
    process = start(case.arguments, tmp_path)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    whole = time.monotonic() - began
    expected = {name: content(tmp_path / name) for name in case.files}
    output = tmp_path / case.files[0].split("/")[0]
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    kills = 0
    for _ in range(3 * KILLS):
        if kills == KILLS:
            break
        shutil.rmtree(output) if output.is_dir() else output.unlink()
        moment = draw.uniform(0.2, 1.0) * whole
        began = time.monotonic()
        process = start(case.arguments, tmp_path)
        try:
            process.wait(moment)
            whole = min(whole, time.monotonic() - began)  # the first run may have had less of the machine
        except subprocess.TimeoutExpired:
            kills += 1
        process.kill()
        process.communicate()
        for name in case.files:
            path = tmp_path / name
            assert not path.exists() or content(path) == expected[name], f"{name} is half written: seed {seed}"
        is_complete = all((tmp_path / name).exists() for name in case.files)
        process = start([*case.arguments, *case.again], tmp_path)
        _, err = process.communicate(timeout=600)
        if is_complete and case.refusal:
            assert process.returncode == 2
            assert case.refusal in err
            continue
        assert process.returncode == 0, f"seed {seed}, killed after {moment:.2f} of {whole:.2f} s: {err}"
        for name in case.files:
            assert content(tmp_path / name) == expected[name], f"{name} is another one: seed {seed}"
    assert kills == KILLS, "most were over before they were killed"
