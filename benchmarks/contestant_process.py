"""A contestant in a new process: seconds from its start to the first label, and its memory.

    python -m benchmarks.contestant_process CONTESTANT MODEL FILES THREADS SIZE WORKERS

``benchmarks.peers`` starts this process and measures the time. The process prints its first label as soon as it has it.
Then it labels some sentences and reviews, and prints its memory after the first label and at the peak, in bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from .common import imdb_reviews, peak_memory, resident_memory, sst2_dev
from .contestant_list import CONTESTANTS
from .contestants import Batching

TEXT = "I love using small models!"
SENTENCES, REVIEWS = 64, 8


def measure(
    key: str, model: Path, cache: Path, threads: int, batching: Batching
) -> tuple[float, float | None, float | None]:
    """Start a process; return its seconds to the first label, and its MB after that and at the peak.

    Raises:
        RuntimeError: the process failed; the message is the last line of its error output.
    """
    arguments = [key, str(model), str(cache), str(threads), str(batching.size), str(batching.workers)]
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.contestant_process", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        first_label = process.stdout.readline()
        seconds = time.perf_counter() - start
        output, errors = process.communicate()
    if process.returncode or not first_label:
        raise RuntimeError((errors.strip() or f"exit code {process.returncode}").splitlines()[-1])
    after_first, peak = (None if size is None else round(size / 1e6, 1) for size in json.loads(output.splitlines()[-1]))
    return seconds, after_first, peak


def main() -> None:
    """Load the contestant, label texts, and print the memory."""
    key, model, cache, threads, size, workers = sys.argv[1:]
    contestant = CONTESTANTS[key].load(Path(model), Path(cache), int(threads))
    print(contestant.label(TEXT), flush=True)
    after_first = resident_memory()  # some libraries load their model only now
    for texts in (sst2_dev()[:SENTENCES], imdb_reviews(REVIEWS)):
        contestant.label_all(texts, Batching(int(size), int(workers)))
    print(json.dumps([after_first, peak_memory()]))


if __name__ == "__main__":
    main()
