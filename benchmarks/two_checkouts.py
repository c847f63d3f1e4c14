"""The pipeline of this checkout and that of another one, such as an earlier commit, in turn in one run.

    git worktree add ../before COMMIT     # and compile its kernels: pip install --no-deps -e ../before
    python -m benchmarks.two_checkouts ../before --model models/minilm-sst2 [--rounds 5] [--beside 0 1 2]

Each measurement is a new process, so that both are measured from a cold start:

- seconds from the start of the process to the first label
- texts of SST-2's dev set and reviews of IMDb labelled a second, the best of three
- milliseconds of single requests of 16 tokens: the median and the 99th percentile
- peak memory

``--beside`` repeats all of it beside so many busy loops, which take their share of the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import common

ROOT = Path(__file__).parents[1]
REVIEWS, REQUESTS = 64, 400
TEXT = "I love using small models!"
SHORT = "a film that is as warm as it is funny and well played"  # 14 tokens, 16 with the special ones
SCRIPT = """
import json, sys, time
model, threads, precision, text, short, requests = sys.argv[1:4] + sys.argv[4:6] + [int(sys.argv[6])]
from distilbert import pipeline
classify = pipeline("text-classification", model, threads=int(threads), precision=precision)
print(classify(text)[0]["label"], flush=True)
sentences, reviews = json.load(sys.stdin)
result = {"precision": classify.runner.precision}
for name, texts in (("sst2", sentences), ("imdb", reviews)):
    classify(texts[:64])
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        classify(texts)
        seconds.append(time.perf_counter() - start)
    result[name] = len(texts) / min(seconds)
milliseconds = []
for _ in range(requests):
    start = time.perf_counter()
    classify(short)
    milliseconds.append(1000 * (time.perf_counter() - start))
milliseconds.sort()
result["median_ms"], result["p99_ms"] = milliseconds[requests // 2], milliseconds[requests * 99 // 100]
with open("/proc/self/status") as status:
    result["peak_mb"] = next(int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM"))
print(json.dumps(result))
"""


def measure(checkout: Path, model: Path, threads: int, precision: str, texts: str) -> dict[str, Any]:
    """Measure one checkout in a new process."""
    command = [sys.executable, "-c", SCRIPT, str(model), str(threads), precision, TEXT, SHORT, str(REQUESTS)]
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - start
        output, _ = process.communicate(texts)
    if process.returncode:
        sys.exit(f"{checkout} failed.")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return {"first_label_s": seconds} | result


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Run so many processes that do nothing but compute."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, nargs="*", default=[0])
    options = parser.parse_args()
    texts = json.dumps([common.sst2_dev(), common.imdb_reviews(REVIEWS)])
    checkouts = {"this": ROOT, "other": options.other.resolve()}
    result: dict[str, Any] = {}
    for loops in options.beside:
        figures: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
        with busy_loops(loops):
            for number in range(options.rounds):
                for name in list(checkouts)[:: 1 if number % 2 else -1]:
                    figures[name].append(
                        measure(checkouts[name], options.model, options.threads, options.precision, texts)
                    )
        result[f"beside {loops} busy loops"] = {name: summarize(runs) for name, runs in figures.items()}
        print(json.dumps(result[f"beside {loops} busy loops"], indent=1))
    commits = {name: common.commit_of(path) for name, path in checkouts.items()}
    common.write_result(
        f"two_checkouts-{options.model.resolve().name}-{options.precision}",
        {"model": options.model.name, "threads": options.threads, "rounds": options.rounds, "commits": commits}
        | result,
    )


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the best and the median of each figure over the rounds."""
    summary: dict[str, Any] = {"precision": runs[0]["precision"]}
    for name in runs[0]:
        if name != "precision":
            values = [run[name] for run in runs]
            best = max(values) if name in ("sst2", "imdb") else min(values)
            summary[name] = {"best": round(best, 3), "median": round(statistics.median(values), 3)}
    return summary


if __name__ == "__main__":
    main()
