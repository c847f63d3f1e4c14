"""A contestant in a process of its own: seconds from its start to the first label, and its peak memory.

    python -m benchmarks.peer_fresh CONTESTANT MODEL FORMS THREADS SIZE WORKERS

prints the first label as soon as it is known; then labels some sentences and reviews, and prints the peak in bytes.
``benchmarks.peers`` starts it and holds the watch.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from .common import imdb_reviews, sst2_dev
from .contestants import CONTESTANTS
from .peer_contestant import Batching

TEXT = "I love using small models!"
SENTENCES, REVIEWS = 64, 8


def peak_bytes() -> int | None:
    """Return the peak of this program alone (getrusage would report its parent's where that is higher), if known."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else None


def measure(key: str, model: Path, cache: Path, threads: int, batching: Batching) -> tuple[float, float | None]:
    """Start a process and return its seconds to the first label and its peak in MB.

    Raises:
        RuntimeError: it failed; the message is its last line.
    """
    arguments = [key, str(model), str(cache), str(threads), str(batching.size), str(batching.workers)]
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.peer_fresh", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        seconds = time.perf_counter() - start
        rest, errors = process.communicate()
    if process.returncode or not first:
        raise RuntimeError((errors.strip() or f"exit {process.returncode}").splitlines()[-1])
    peak: int | None = json.loads(rest.splitlines()[-1])
    return seconds, None if peak is None else round(peak / 1e6, 1)


def main() -> None:
    """Be the process."""
    key, model, cache, threads, size, workers = sys.argv[1:]
    contestant = CONTESTANTS[key].start(Path(model), Path(cache), int(threads))
    print(contestant.one(TEXT), flush=True)
    for texts in (sst2_dev()[:SENTENCES], imdb_reviews(REVIEWS)):
        contestant.many(texts, Batching(int(size), int(workers)))
    print(json.dumps(peak_bytes()))


if __name__ == "__main__":
    main()
