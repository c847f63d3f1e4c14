"""Contestants in turn: the best batches of each, rounds in which the order rotates, and single requests."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .common import best_and_median
from .contestants import Entry
from .peer_contestant import Batching, Contestant, Unavailable

PAUSE = 0.3  # seconds before each turn: thread pools of the one before spin for a while, and would take its cores
STEP = 5  # contestants by which the order of turns moves from round to round
TURN = 10  # seconds
WORSE = 1.1  # times slower than the best size so far: larger ones are not tried any more
REQUESTS = {16: 25, 128: 10, 512: 5}  # tokens of a single request -> requests a round


@dataclass
class Player:
    """A contestant that takes part, with what was chosen for it."""

    entry: Entry
    contestant: Contestant
    batching: dict[str, Batching] = field(default_factory=dict)
    rate: dict[str, float] = field(default_factory=dict)  # texts a second on the sample

    def describe(self, workload: str) -> str:
        """Return its batches in words."""
        chosen = self.batching[workload]
        beside = f", {chosen.workers} at a time" if chosen.workers > 1 else ""
        return f"{chosen.size} {self.contestant.unit}{beside}"

    def part(self, workload: str, texts: list[str]) -> list[str]:
        """Return what it is timed on: all texts, or about ``TURN`` seconds of them where their number cannot matter.

        That is where batches are not of similar length, so that more texts to choose from would help nothing.
        """
        if self.contestant.unit == "tokens":
            return texts
        return thinned(texts, max(1, round(len(texts) / self.rate[workload] / TURN)))


@dataclass
class Clock:
    """How much time is left.

    Attributes:
        end: on the clock of ``time.monotonic``.
        weights: of the phases to come; their sum is what a phase's share is reckoned of.
    """

    end: float
    weights: dict[str, float]

    def allot(self, phase: str) -> float:
        """Return the seconds that a phase may take, and count it as done."""
        whole = sum(self.weights.values())
        return max(0.0, self.end - time.monotonic()) * self.weights.pop(phase) / whole


@dataclass
class Contest:
    """Who takes part, and who does not and why."""

    players: dict[str, Player] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    threads: int = 1

    def leave_out(self, key: str, error: Exception) -> None:
        """Go on without a contestant."""
        text = " ".join(str(error).split()) or repr(error)
        reason = text if isinstance(error, Unavailable) else f"{type(error).__name__}: {text:.300}"
        self.left_out[key] = reason
        self.players.pop(key, None)
        print(f"  left out: {key} ({reason})", file=sys.stderr, flush=True)

    def start(self, entries: dict[str, Entry], model: Path, cache: Path, threads: int) -> None:
        """Load all contestants that are not left out yet."""
        self.threads = threads
        for key, entry in entries.items():
            if key in self.left_out:
                continue
            try:
                self.players[key] = Player(entry, entry.start(model, cache, threads))
            except Exception as error:  # a library's own failure leaves out its contestant, not the others
                self.leave_out(key, error)

    def stop(self) -> None:
        """Let go of all."""
        self.players.clear()
        gc.collect()

    def in_turn(self, run: Callable[[str, Player], Any], rounds: int, seconds: float) -> dict[str, list[float]]:
        """Time all players, once a round; each round begins with another one.

        Args:
            run: takes key and player.
            rounds: at most; at least one is run.
            seconds: no round begins that would likely end later.

        Returns:
            Seconds of each round, by key.
        """
        taken: dict[str, list[float]] = {key: [] for key in self.players}
        start, longest, count = time.monotonic(), 0.0, 0
        while count < rounds and (count == 0 or time.monotonic() - start + longest <= seconds):
            begin, keys = time.monotonic(), list(self.players)
            first = STEP * count % max(1, len(keys))
            for key in keys[first:] + keys[:first]:
                gc.collect()
                time.sleep(PAUSE)
                if "torch" in sys.modules:  # CTranslate2 sets OpenMP's number of threads for everyone in the process
                    sys.modules["torch"].set_num_threads(self.threads)
                try:
                    before = time.perf_counter()
                    run(key, self.players[key])
                    taken[key].append(time.perf_counter() - before)
                except Exception as error:  # see start
                    self.leave_out(key, error)
                    continue
                print(f"  round {count + 1}  {key}: {taken[key][-1]:.2f} s", file=sys.stderr, flush=True)
            longest, count = max(longest, time.monotonic() - begin), count + 1
        return {key: values for key, values in taken.items() if key in self.players}

    def choose_batches(self, workload: str, sample: list[str], chosen: dict[str, Batching]) -> None:
        """Give each player its best batches, tried on a sample, or those that were chosen before."""

        def choose(key: str, player: Player) -> None:
            if key in chosen:
                allowed = max(player.contestant.workers())
                best = Batching(chosen[key].size, min(chosen[key].workers, allowed))
                begin = time.perf_counter()
                player.contestant.many(sample, best)
                seconds = time.perf_counter() - begin
            else:
                best, seconds = best_batching(player.contestant, sample)
            player.batching[workload], player.rate[workload] = best, len(sample) / seconds

        self.in_turn(choose, 1, 0)

    def throughput(self, workload: str, texts: list[str], rounds: int, seconds: float) -> dict[str, Any]:
        """Return texts a second of all players."""
        parts = {key: player.part(workload, texts) for key, player in self.players.items()}
        taken = self.in_turn(
            lambda key, player: player.contestant.many(parts[key], player.batching[workload]), rounds, seconds
        )
        return {
            "texts": len(texts),
            "rounds": max(map(len, taken.values()), default=0),
            "timed_on_fewer_texts": {key: len(parts[key]) for key in taken if len(parts[key]) < len(texts)},
            "batches": {key: self.players[key].describe(workload) for key in taken},
            "rates": {
                key: {kind: round(len(parts[key]) / value, 1) for kind, value in best_and_median(values).items()}
                for key, values in taken.items()
            },
        }

    def latency(self, words: list[str], rounds: int, seconds: float) -> dict[str, Any]:
        """Return milliseconds of single requests, by tokens and contestant, each request another text."""
        taken: dict[int, dict[str, list[float]]] = {tokens: {} for tokens in REQUESTS}
        draw = random.Random(0)

        def run(key: str, player: Player) -> None:
            if not player.entry.alone:
                return
            for tokens, count in REQUESTS.items():
                times = taken[tokens].setdefault(key, [])
                first = not times
                for number in range(count + 2 * first):
                    text = " ".join(draw.choices(words, k=tokens - 2))
                    before = time.perf_counter()
                    player.contestant.one(text)
                    if not (first and number < 2):  # the first ones allocate and choose kernels
                        times.append(1000 * (time.perf_counter() - before))

        finished = self.in_turn(run, rounds, seconds)
        return {
            str(tokens): {
                key: {
                    "p50": round(float(np.percentile(times, 50)), 2),
                    "p99": round(float(np.percentile(times, 99)), 2),
                    "requests": len(times),
                }
                for key, times in by_key.items()
                if key in finished
            }
            for tokens, by_key in taken.items()
        }


def best_batching(contestant: Contestant, sample: list[str]) -> tuple[Batching, float]:
    """Return the fastest of a contestant's ways to batch: first workers, then sizes upwards while they help.

    Returns:
        It, and its seconds for the sample.
    """
    known: dict[Batching, float] = {}

    def seconds(batching: Batching) -> float:
        if batching not in known:
            before = time.perf_counter()
            contestant.many(sample, batching)
            known[batching] = time.perf_counter() - before
        return known[batching]

    sizes, workers = contestant.sizes, contestant.workers()
    contestant.many(sample[: max(1, len(sample) // 4)], Batching(sizes[len(sizes) // 2]))
    if len(workers) > 1:
        for count in workers:
            seconds(Batching(sizes[1], count))
        best = min(known, key=known.__getitem__)
    else:
        best = Batching(sizes[0], workers[0])
    for size in sizes:
        tried = Batching(size, best.workers)
        if seconds(tried) < seconds(best):
            best = tried
        elif size > best.size and seconds(tried) > WORSE * seconds(best):
            break
    return best, seconds(best)


def thinned(texts: list[str], every: int) -> list[str]:
    """Return every N-th text by length, in the order in which they came: the same mix of lengths."""
    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    return [texts[index] for index in sorted(by_length[every // 2 :: every])]
