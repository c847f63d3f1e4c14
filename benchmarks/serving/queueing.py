"""The 99th percentile that one engine can have, whatever its code: a simulation of random arrivals.

    python -m benchmarks.serving.queueing

Requests of one text arrive at random, as a Poisson process. An engine takes all that wait as a batch, which takes
``fixed + each * texts``, and begins the next one at once. Times are in units of a single request's, ``fixed + each``;
the load is a share of the rate that large batches reach, ``1 / each``.
"""

from __future__ import annotations

import random

REQUESTS = 200_000


def percentiles(fixed: float, load: float, seed: int = 0) -> tuple[float, float]:
    """Return the median and the 99th percentile of the time to an answer, in times of a single request.

    Args:
        fixed: share of a single request's time that a batch takes however large it is.
        load: share of the highest rate.
        seed: of the arrivals.
    """
    draw, each = random.Random(seed), 1 - fixed
    arrivals, clock = [], 0.0
    for _ in range(REQUESTS):
        clock += draw.expovariate(load / each)
        arrivals.append(clock)
    taken: list[float] = []
    free, first = 0.0, 0
    while first < REQUESTS:
        start = max(free, arrivals[first])
        last = first
        while last < REQUESTS and arrivals[last] <= start:
            last += 1
        free = start + fixed + each * (last - first)
        taken += [free - arrival for arrival in arrivals[first:last]]
        first = last
    taken.sort()
    return taken[REQUESTS // 2], taken[int(0.99 * REQUESTS)]


def main() -> None:
    """Print a table."""
    print("fixed share | load | median | p99, in single requests")
    for fixed in (0.0, 0.2, 0.4, 0.6, 0.8):
        for load in (0.1, 0.25, 0.5):
            median, p99 = percentiles(fixed, load)
            print(f"{fixed:11.1f} | {load:4.2f} | {median:6.2f} | {p99:.2f}")


if __name__ == "__main__":
    main()
