"""From text to labels in fp32: our pipeline and transformers', at several batch sizes, in turn in one run.

    python -m benchmarks.text_to_labels [--rounds 3] [--reviews 256]

The model is of DistilBERT-base's size with random weights. Both sides truncate at 512 tokens and return the best
label; the probabilities are compared, so that no side skips work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from distilbert import pipeline

from .common import base_model, best_and_median, imdb_reviews, in_turn, sst2_dev, write_result

BATCHES = {"sst2": (1, 8, 32), "imdb": (1, 4, 16)}


def measure(name: str, texts: list[str], ours: Any, theirs: Any, rounds: int) -> dict[str, Any]:
    """Time one workload and check that both sides answer alike."""
    answers: dict[str, Any] = {}

    def our_run() -> None:
        answers["distilbert"] = ours(texts, truncation=True)

    def their_run(size: int) -> None:
        answers["transformers"] = theirs(texts, batch_size=size, truncation=True)

    competitors: dict[str, Any] = {"distilbert": our_run}
    for size in BATCHES[name]:
        competitors[f"transformers, batch {size}"] = lambda size=size: their_run(size)
    seconds = in_turn(competitors, rounds)
    pairs = list(zip(answers["distilbert"], answers["transformers"], strict=True))
    rates = {
        competitor: {kind: round(len(texts) / value, 1) for kind, value in best_and_median(times).items()}
        for competitor, times in seconds.items()
    }
    rivals = {competitor: rate for competitor, rate in rates.items() if competitor != "distilbert"}
    return {
        "texts": len(texts),
        "texts_per_second": rates,
        "ratio_to_best_batch_size": {
            kind: round(rates["distilbert"][kind] / max(rate[kind] for rate in rivals.values()), 2)
            for kind in ("best", "median")
        },
        "largest_difference_of_a_score": max(abs(a["score"] - b["score"]) for a, b in pairs),
        "labels_that_differ": sum(a["label"] != b["label"] for a, b in pairs),
    }


def main() -> None:
    """Run both workloads and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reviews", type=int, default=256)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as temporary:
        folder = base_model(Path(temporary))
        ours = pipeline("text-classification", folder)
        theirs = transformers.pipeline("text-classification", str(folder), dtype=torch.float32, device="cpu")
        workloads = {"sst2": sst2_dev(), "imdb": imdb_reviews(arguments.reviews)}
        for texts in workloads.values():  # first calls allocate and choose kernels
            ours(texts[:16], truncation=True)
            theirs(texts[:16], truncation=True)
        result = {name: measure(name, texts, ours, theirs, arguments.rounds) for name, texts in workloads.items()}
    write_result("text_to_labels", {"threads": torch.get_num_threads(), "rounds": arguments.rounds} | result)


if __name__ == "__main__":
    main()
