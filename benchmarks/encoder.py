"""CPU seconds of embedding short texts: one thread against two, and against sentence-transformers.

    python -m benchmarks.encoder --model models/minilm --original FOLDER [--texts 18000] [--compared 1500] [--rounds 3]

The texts are questions of CLINC-150, in fp32. CPU seconds are those of the whole process, with all its threads. Both
libraries compute with all cores, in turn; sentence-transformers with the best of several batch sizes.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from distilbert import Encoder

from .common import data_folder, write_result

BATCH_SIZES = (32, 64, 128, 256)
TUNED_ON = 400  # texts that decide the batch size


def questions(count: int) -> list[str]:
    """Return so many questions of CLINC-150."""
    texts: list[str] = []
    for name in ("train", "dev"):
        lines = (data_folder() / "clinc150" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        texts += [line.split("\t")[0] for line in lines[1:]]
    return texts[:count]


def cpu_seconds(call: Callable[[], Any]) -> float:
    """Return the CPU time that a call takes, of all threads."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    start = used()
    call()
    return used() - start


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the best and the median CPU seconds of each call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(cpu_seconds(call))
    return {
        name: {"best": round(min(values), 2), "median": round(float(np.median(values)), 2)}
        for name, values in seconds.items()
    }


def main() -> None:
    """Measure, print and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models/minilm")
    parser.add_argument("--original", type=Path, help="folder of the same model for sentence-transformers")
    parser.add_argument("--texts", type=int, default=18_000)
    parser.add_argument("--compared", type=int, default=1_500, help="texts of the comparison")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts = questions(arguments.texts)
    encoders = {threads: Encoder(arguments.model, precision="fp32", threads=threads) for threads in (1, 2)}
    result: dict[str, Any] = {"texts": len(texts)}
    result["cpu_seconds_by_threads"] = in_turn(
        {f"{threads} threads": lambda e=encoder: e.encode(texts) for threads, encoder in encoders.items()}, 1
    )
    print(result, flush=True)
    if arguments.original is not None:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer

        parts = [Transformer(str(arguments.original)), Pooling(384, pooling_mode="mean")]
        theirs = SentenceTransformer(modules=parts, device="cpu")
        some = texts[: arguments.compared]
        tuned = {
            size: cpu_seconds(lambda s=size: theirs.encode(texts[:TUNED_ON], batch_size=s)) for size in BATCH_SIZES
        }
        best = min(tuned, key=lambda size: tuned[size])
        difference = np.abs(encoders[2].encode(some, normalize=False) - theirs.encode(some, batch_size=best)).max()
        result |= {"compared_texts": len(some), "batch_size": best, "largest_difference": float(difference)}
        result["cpu_seconds"] = in_turn(
            {
                "distilbert": lambda: encoders[2].encode(some),
                "sentence-transformers": lambda: theirs.encode(some, batch_size=best),
            },
            arguments.rounds,
        )
        print(result, flush=True)
    write_result("encoder", result, packages=("sentence-transformers",))


if __name__ == "__main__":
    main()
