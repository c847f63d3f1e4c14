"""What a run came to, measured: sizes, held-out figures and speed of teacher and student, in ``summary.json``."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from ..core.files import write_json
from ..core.runner_protocol import Batch
from ..models.pytorch import DistilBertForMaskedLM
from ..models.pytorch.runner import PytorchRunner
from .corpus.text_batches import MaskedText
from .loop import Progress

PACKAGES = ("distilbert", "torch", "accelerate", "tokenizers", "numpy")


def write_summary(
    folder: Path,
    student: DistilBertForMaskedLM,
    teacher: DistilBertForMaskedLM | None,
    text: MaskedText,
    progress: Progress,
) -> None:
    """Measure both models' speed in turn and write ``summary.json``."""
    models = {"student": student} | ({"teacher": teacher} if teacher is not None else {})
    speeds = encoder_speeds(models, text)
    figures: dict[str, dict[str, Any]] = {
        name: {
            "parameters": model.num_parameters(),
            "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            "layers": model.config.n_layers,
            "dim": model.config.dim,
            "tokens_per_second": speeds[name],
        }
        for name, model in models.items()
    }
    last = progress.last
    figures["student"] |= {key: last[key] for key in ("perplexity", "kl", "agreement") if key in last}
    if teacher is None:
        figures = {"model": figures["student"]}
    else:
        figures = {
            "teacher": figures["teacher"] | {"perplexity": last["teacher_perplexity"]},
            "student": figures["student"],
        }
    write_json(folder / "summary.json", about_run(folder, text.facts, progress) | {"models": figures})


def about_run(folder: Path, data: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Return what every summary says: when, how and where the run was made, and on what data."""
    return {
        "title": folder.resolve().name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["distilbert", *sys.argv[1:]]) if _from_shell() else "",
        "machine": machine(),
        "data": data,
        "precision": progress.precision,
        "steps": progress.step,
        "tokens": progress.tokens,
        "seconds": round(progress.seconds, 1),
        "best_step": progress.best_step,
    }


def encoder_speeds(models: dict[str, DistilBertForMaskedLM], text: MaskedText, rounds: int = 3) -> dict[str, float]:
    """Return the tokens a second of each encoder on held-out text, the best of some rounds taken in turn."""
    passes = text.held_out(0, 1)
    ids = passes[0].arrays["input_ids"]  # (B, S)
    batch = Batch.of(ids.tolist())
    runners = {name: PytorchRunner(model.distilbert) for name, model in models.items()}
    best = dict.fromkeys(models, float("inf"))
    for _ in range(rounds):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner(batch)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: round(ids.size / seconds, 1) for name, seconds in best.items()}


def machine() -> dict[str, Any]:
    """Describe the machine and the software."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"cpu": name, "cores": os.cpu_count(), "versions": {"python": platform.python_version()} | versions}


def _from_shell() -> bool:
    return Path(sys.argv[0]).name in ("distilbert", "__main__.py")
