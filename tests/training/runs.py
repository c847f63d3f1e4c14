"""Folders as runs leave them, with made-up metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

CONFIG = """seed = 42
learning_rate = 5e-4

[student]
layers = [0, 2, 4]
"""
SUMMARY: dict[str, Any] = {
    "title": "MiniLM of 6 layers to 3",
    "created": "2026-11-24T14:03:22+00:00",
    "command": "distilbert distill --teacher teacher --data text --output student",
    "machine": {"cpu": "Some CPU at 2.0 GHz", "cores": 2, "versions": {"python": "3.11.2", "torch": "2.13.0"}},
    "data": {
        "sources": ["text/a.txt", "text/b.txt"],
        "tokens": 12_345_678,
        "sequences": 96_450,
        "sequence_length": 128,
        "held_out_sequences": 512,
        "left_out_tokens": 78,
    },
    "steps": 2000,
    "tokens": 8_192_000,
    "seconds": 11_520.0,
    "best_step": 2000,
    "models": {
        "teacher": {
            "parameters": 22_713_216, "bytes": 90_900_000, "layers": 6, "dim": 384,
            "perplexity": 11.02, "tokens_per_second": 6_012.0,
        },
        "student": {
            "parameters": 17_389_824, "bytes": 69_600_000, "layers": 3, "dim": 384,
            "perplexity": 12.34, "kl": 0.2345, "agreement": 0.7831, "tokens_per_second": 11_400.0,
        },
    },
}  # fmt: skip


def train_record(step: int, steps: int = 2000) -> dict[str, Any]:
    wave = math.sin(step * 12.9898) * 0.15
    ce, mlm, cos = 8 * math.exp(-step / 400) + 0.6, 6 * math.exp(-step / 500) + 2.4, 0.5 * math.exp(-step / 300) + 0.08
    terms = {"ce": ce * (1 + wave), "mlm": mlm * (1 + wave / 2), "cos": cos * (1 + wave / 4)}
    return {
        "kind": "train",
        "step": step,
        "tokens": 4096 * step,
        "seconds": 5.76 * step,
        "learning_rate": 5e-4 * min(step / (0.05 * steps), (steps - step) / (0.95 * steps)),
        "loss": 5 * terms["ce"] + 2 * terms["mlm"] + terms["cos"],
        "terms": terms,
        "tokens_per_second": 711 * (1 + wave / 5),
        "gradient_norm": 3 * math.exp(-step / 600) + 0.7 + abs(wave),
    }


def evaluation_record(step: int, *, taught: bool = True) -> dict[str, Any]:
    perplexity = 12.34 + 900 * math.exp(-step / 180)
    return {
        "kind": "evaluation",
        "step": step,
        "tokens": 4096 * step,
        "seconds": 5.76 * step,
        "perplexity": perplexity,
        "loss": math.log(perplexity),
        "kl": 0.2345 + 3 * math.exp(-step / 300) if taught else None,
        "agreement": 0.7831 - 0.6 * math.exp(-step / 350) if taught else None,
    }


def records(*, every: int = 10, evaluated_every: int = 250, taught: bool = True) -> list[dict[str, Any]]:
    train = [train_record(step) for step in range(every, 2001, every)]
    if not taught:
        for record in train:
            record["terms"] = {"mlm": record["terms"]["mlm"]}
    evaluations = [evaluation_record(step, taught=taught) for step in range(0, 2001, evaluated_every)]
    return sorted(train + evaluations, key=lambda record: record["step"])


def make_run(
    folder: Path,
    *,
    summary: dict[str, Any] | None = None,
    metrics: list[dict[str, Any]] | None = None,
    config: str = CONFIG,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY if summary is None else summary), encoding="utf-8")
    (folder / "config.toml").write_text(config, encoding="utf-8")
    lines = [json.dumps(record) + "\n" for record in (records() if metrics is None else metrics)]
    (folder / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def pretraining() -> dict[str, Any]:
    student = {key: SUMMARY["models"]["student"][key] for key in ("parameters", "bytes", "layers", "dim", "perplexity")}
    return SUMMARY | {"title": "A head for MiniLM", "command": "distilbert pretrain", "models": {"model": student}}
