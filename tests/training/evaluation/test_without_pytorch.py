"""``evaluate`` and ``quantize`` in a process that cannot load a framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.scripts import python_environment

ROOT = Path(__file__).parents[3]

MODEL = ROOT / "packages" / "distilbert-mini-sst2" / "src" / "distilbert_mini_sst2" / "model"
SCRIPT = """
import json, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "accelerate", "tensorflow", "keras", "jax", "flax", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from distilbert import EvaluateConfig, evaluate, quantize
from distilbert.cli import invoke
model, data, output = sys.argv[1:]
result = evaluate(EvaluateConfig(model=model, data=[data], samples=20))
quantized = quantize(model, calibration=data, metric_data=data, output=output, max_drop=100)
code = invoke(["evaluate", "--model", output, "--data", data, "--samples", "20", "--json"])
loaded = [name for name in sys.modules if name in ("torch", "accelerate")]
print(json.dumps({
    "metrics": result.models[0].metrics, "facts": result.models[0].facts, "files": sorted(map(str, quantized.files)),
    "code": code, "loaded": loaded,
}))
"""


def test_evaluation_and_quantization_without_pytorch(tmp_path: Path) -> None:
    data = tmp_path / "reviews.tsv"
    lines = [f"a warm and funny film {n}\tpositive\ntwo hours of noise {n}\tnegative" for n in range(40)]
    data.write_text("text\tlabel\n" + "\n".join(lines) + "\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(MODEL), str(data), str(tmp_path / "int8")],
        capture_output=True, text=True, timeout=250, check=False,
        env=python_environment(),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    values = json.loads(result.stdout.splitlines()[-1])
    assert values["code"] == 0
    assert values["loaded"] == []
    assert values["metrics"]["accuracy"] == 100 or values["metrics"]["accuracy"] == 1
    assert "quantization.safetensors" in {Path(name).name for name in values["files"]}
    from distilbert import pipeline  # the counts are those of the PyTorch model

    model = pipeline("text-classification", os.fspath(MODEL), runner="pytorch").model
    assert values["facts"]["parameters"] == sum(tensor.numel() for tensor in model.parameters())
    assert values["facts"]["bytes"] == sum(tensor.nbytes for tensor in model.parameters())
