"""What all benchmarks share: data, a model, the machine's description, rounds in turn, and result files.

Nothing of the package is imported at the top, since ``benchmarks.siblings`` also runs where it is not installed.
"""

from __future__ import annotations

import datetime
import gzip
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from distilbert.core.cpu_name import cpu_name

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "typer")


def data_folder() -> Path:
    """Return the folder of the data sets: ``DISTILBERT_TEST_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("DISTILBERT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        sys.exit(f"The data sets are not in {folder}; set DISTILBERT_TEST_DATA to their folder.")
    return folder


def sst2_dev() -> list[str]:
    """Return the 872 sentences of SST-2 dev."""
    return [sentence for sentence, _ in _sst2_rows()]


def sst2_dev_labels() -> list[str]:
    """Return the labels of these sentences, ``"negative"`` or ``"positive"``."""
    return [("negative", "positive")[int(label)] for _, label in _sst2_rows()]


def _sst2_rows() -> list[list[str]]:
    lines = (data_folder() / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:]]


def imdb_reviews(count: int) -> list[str]:
    """Return the first ``count`` film reviews."""
    with gzip.open(data_folder() / "imdb" / "train-5000.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]


def base_model(folder: Path, labels: int = 2) -> Path:
    """Write a classifier of DistilBERT-base's size with random weights and the uncased vocabulary, unless it exists.

    Speed does not depend on what the weights are.
    """
    import torch

    from distilbert import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer

    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        DistilBertTokenizer(data_folder() / "vocab" / "uncased.txt").save_pretrained(folder)
        DistilBertForSequenceClassification(DistilBertConfig(num_labels=labels)).save_pretrained(folder)
    return folder


def in_turn(competitors: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time each competitor once in each round, so that all run while the machine is in the same state.

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
    """Return the lowest time as ``"best"``, and the ``"median"``."""
    return {"best": min(values), "median": statistics.median(values)}


def load_average() -> float | None:
    """Return how busy the machine was in the last minute, in processes; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes; None where the system does not say.

    ``getrusage`` is no substitute: a process that was forked from a larger one reports the peak of that one.
    """
    return _memory("VmHWM")


def resident_memory() -> int | None:
    """Return the resident memory of this process in bytes; None where the system does not say."""
    return _memory("VmRSS")


def _memory(name: str) -> int | None:
    status = Path("/proc/self/status")
    match = re.search(rf"{name}:\s*(\d+)", status.read_text()) if status.exists() else None
    return 1024 * int(match[1]) if match else None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each of these packages that is installed."""
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def machine(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Describe the machine and the software: the versions of ``PACKAGES`` and of further packages."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": installed_versions((*PACKAGES, *packages)),
    }


def today() -> str:
    """Return the date that result files carry."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")


def commit_of(folder: Path) -> str:
    """Return the commit that is checked out in a folder; empty outside of a checkout."""
    git = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def write_result(name: str, result: Mapping[str, Any], folder: Path = RESULTS, packages: Iterable[str] = ()) -> None:
    """Write ``NAME-DATE.json`` and print the result as one line.

    Args:
        name: of the benchmark.
        result: what it measured. Date, commit and the machine's description are added.
        folder: where the file goes.
        packages: whose versions are stated, besides those of ``PACKAGES``.
    """
    commit = commit_of(Path(__file__).parent)
    report = {"benchmark": name, "date": today(), "commit": commit, "machine": machine(packages), **result}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{today()}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))
