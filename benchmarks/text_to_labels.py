"""From text to labels in fp32: our pipeline, and that of transformers at several batch sizes, in turn in one run.

    python -m benchmarks.text_to_labels [--rounds 3] [--reviews 256]

The model has DistilBERT-base's size and random weights. Both pipelines truncate texts to 512 tokens and return the best
label. Their probabilities are compared, which shows that neither skips work.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from distilbert import pipeline

from .common import base_model, best_and_median, imdb_reviews, in_turn, sst2_dev, write_result

BATCH_SIZES = {"sst2": (1, 8, 32), "imdb": (1, 4, 16)}


def measure(workload: str, texts: list[str], our_pipeline: Any, reference: Any, rounds: int) -> dict[str, Any]:
    """Time one workload, and compare the answers."""
    answers: dict[str, Any] = {}

    def run_ours() -> None:
        answers["distilbert"] = our_pipeline(texts, truncation=True)

    def run_reference(batch_size: int) -> None:
        answers["transformers"] = reference(texts, batch_size=batch_size, truncation=True)

    competitors: dict[str, Callable[[], None]] = {"distilbert": run_ours}
    for batch_size in BATCH_SIZES[workload]:
        competitors[f"transformers, batch {batch_size}"] = partial(run_reference, batch_size)
    seconds = in_turn(competitors, rounds)
    pairs = list(zip(answers["distilbert"], answers["transformers"], strict=True))
    rates = {
        competitor: {kind: round(len(texts) / value, 1) for kind, value in best_and_median(times).items()}
        for competitor, times in seconds.items()
    }
    reference_rates = [rate for competitor, rate in rates.items() if competitor != "distilbert"]
    return {
        "texts": len(texts),
        "texts_per_second": rates,
        "ratio_to_best_batch_size": {
            kind: round(rates["distilbert"][kind] / max(rate[kind] for rate in reference_rates), 2)
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
        our_pipeline = pipeline("text-classification", folder, precision="fp32")
        reference = transformers.pipeline("text-classification", str(folder), dtype=torch.float32, device="cpu")
        workloads = {"sst2": sst2_dev(), "imdb": imdb_reviews(arguments.reviews)}
        for texts in workloads.values():  # the first calls allocate memory and choose kernels
            our_pipeline(texts[:16], truncation=True)
            reference(texts[:16], truncation=True)
        result = {
            workload: measure(workload, texts, our_pipeline, reference, arguments.rounds)
            for workload, texts in workloads.items()
        }
    write_result("text_to_labels", {"threads": torch.get_num_threads(), "rounds": arguments.rounds} | result)


if __name__ == "__main__":
    main()
