"""How long a sharded run takes with 1 to 1,000 workers, stragglers and failures, and how large shards should be.

The inputs are rates that were measured on one machine (``--rate``: rows a second of one worker). ``--check FOLDER ...``
compares the simulation with real runs: it reads their ``_summary.json`` and prints how far off it is.

    python -m benchmarks.scaling_simulation --rate 600
    python -m benchmarks.scaling_simulation --check answers-1 answers-2 answers-3
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

SHARD_ROWS = (1_000, 5_000, 20_000, 100_000, 500_000)


@dataclass(frozen=True)
class Cluster:
    """What a run goes through.

    Attributes:
        rate: rows a second of a worker that nothing slows down.
        start_seconds: until a worker has loaded the model.
        shard_seconds: of a shard besides its rows: its files are synced and renamed, and its worker is told.
        plan_rate: rows a second of the pass that fixes the shards.
        spread: standard deviation of the logarithm of a worker's speed.
        slow_share: of the workers that are stragglers.
        slow_factor: how many times as long a straggler takes.
        hours_between_deaths: of one worker; 0 for none.
    """

    rate: float
    start_seconds: float = 2.0
    shard_seconds: float = 0.05
    plan_rate: float = 300_000.0
    spread: float = 0.05
    slow_share: float = 0.02
    slow_factor: float = 2.0
    hours_between_deaths: float = 200.0


def simulate(rows: int, workers: int, shard_rows: int, cluster: Cluster, seed: int = 0) -> float:
    """Return the seconds from the first answer to the last, by handing each shard to the worker that is free first."""
    draw = random.Random(seed)
    shards = math.ceil(rows / shard_rows)
    workers = min(workers, shards)
    speeds = [
        cluster.rate
        * math.exp(draw.gauss(0.0, cluster.spread))
        / (cluster.slow_factor if draw.random() < cluster.slow_share else 1.0)
        for _ in range(workers)
    ]
    free = [(cluster.start_seconds, number) for number in range(workers)]
    end = 0.0
    for shard in range(shards):
        begin, number = heapq.heappop(free)
        size = min(shard_rows, rows - shard * shard_rows)
        needed = size / speeds[number] + cluster.shard_seconds
        death = (
            draw.expovariate(1 / (cluster.hours_between_deaths * 3600)) if cluster.hours_between_deaths else math.inf
        )
        while death < needed:  # the shard is answered again from its beginning, by a process that loads the model
            begin += death + cluster.start_seconds
            death = draw.expovariate(1 / (cluster.hours_between_deaths * 3600))
        end = max(end, begin + needed)
        heapq.heappush(free, (begin + needed, number))
    return end


def efficiency(rows: int, workers: int, shard_rows: int, cluster: Cluster) -> float:
    """Return the share of the workers' time that a run without any loss would need."""
    return rows / (workers * cluster.rate) / simulate(rows, workers, shard_rows, cluster)


def table(rows: int, cluster: Cluster, sizes: tuple[int, ...] = SHARD_ROWS) -> list[tuple[int, dict[int, float]]]:
    """Return for each number of workers the efficiency by the rows of a shard."""
    counts = (1, 2, 3, 10, 30, 100, 300, 1_000)
    return [(count, {size: efficiency(rows, count, size, cluster) for size in sizes}) for count in counts]


def check(folder: Path) -> tuple[int, float, float]:
    """Return the workers of a real run, its seconds from the first to the last shard, and what the simulation says.

    The rate of a worker is the one that its own records state, so what is checked is how shards are shared out.
    """
    summary = json.loads((folder / "_summary.json").read_text())
    manifest = json.loads((folder / "_manifest.json").read_text())
    workers = summary["workers"].values()
    rate = sum(worker["rows"] for worker in workers) / sum(worker["seconds"] for worker in workers)
    cluster = Cluster(rate, spread=0.0, slow_share=0.0, hours_between_deaths=0.0)
    size = max(shard["rows"] for shard in manifest["shards"])
    return len(workers), summary["seconds"], simulate(summary["rows"], len(workers), size, cluster)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=600.0, help="rows a second of one worker")
    parser.add_argument("--rows", type=int, default=10**8)
    parser.add_argument("--check", nargs="*", type=Path, default=[], help="folders of real runs")
    options = parser.parse_args()
    for folder in options.check:
        workers, real, simulated = check(folder)
        print(f"{folder}: {workers} workers, {real:.1f} s, simulated {simulated:.1f} s, {simulated / real - 1:+.1%}")
    if options.check:
        return
    cluster = Cluster(options.rate)
    print(f"{options.rows:,} rows at {options.rate:,.0f} rows a second and worker: efficiency by the rows of a shard")
    print("workers" + "".join(f"{size:>10,}" for size in SHARD_ROWS) + f"{'hours':>10}")
    for count, shares in table(options.rows, cluster):
        best = max(shares.values())
        hours = options.rows / (count * cluster.rate) / best / 3600
        print(f"{count:>7,}" + "".join(f"{share:>10.1%}" for share in shares.values()) + f"{hours:>10.2f}")


if __name__ == "__main__":
    main()
