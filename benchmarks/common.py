"""What every benchmark shares: the data, the machine, rounds in turn, and the result file."""

from __future__ import annotations

import datetime
import gzip
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "typer")


def data_folder() -> Path:
    """Where the data sets are: ``DISTILBERT_TEST_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("DISTILBERT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"The data sets are not at {folder}; set DISTILBERT_TEST_DATA to their folder.")
    return folder


def sst2_dev() -> list[str]:
    """The 872 sentences of SST-2 dev."""
    lines = (data_folder() / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines[1:]]


def imdb_reviews(count: int) -> list[str]:
    """The first ``count`` film reviews."""
    with gzip.open(data_folder() / "imdb" / "train-5000.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]


def base_model(folder: Path, labels: int = 2) -> Path:
    """Write a DistilBERT-base classifier with random weights and the uncased vocabulary; speed needs no training."""
    import torch

    from distilbert import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer

    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        DistilBertTokenizer(data_folder() / "vocab" / "uncased.txt").save_pretrained(folder)
        DistilBertForSequenceClassification(DistilBertConfig(num_labels=labels)).save_pretrained(folder)
    return folder


def in_turn(competitors: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time each competitor once a round, one after the other, so that all meet the same state of the machine.

    Returns:
        Seconds of each round, by competitor.
    """
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(rounds):
        for name, run in competitors.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
            print(f"  round {number + 1}/{rounds}  {name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return seconds


def best_and_median(values: list[float]) -> dict[str, float]:
    """Summarize times: the lowest and the median."""
    return {"best": min(values), "median": statistics.median(values)}


def machine() -> dict[str, Any]:
    """Describe the machine and the software."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write ``results/NAME-DATE.json`` and print it as one line."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    report = {"benchmark": name, "date": date, "commit": commit.stdout.strip(), "machine": machine()} | result
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}-{date}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))
