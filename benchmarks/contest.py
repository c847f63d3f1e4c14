"""The contest behind ``benchmarks.peers``: contestants take turns, each with its fastest batches."""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .common import best_and_median
from .contestant_list import ContestantSpec
from .contestants import Batching, Contestant, Unavailable

PAUSE = (
    0.3  # seconds before each turn; the threads of the previous contestant spin for a while and would take its cores
)
ROTATION = 5  # each round begins this many contestants later than the round before
TURN_SECONDS = 10  # a contestant that takes texts as they come is timed on about this many seconds of them
WORSE = 1.1  # a batch size this many times slower than the best one ends the search for larger ones
REQUESTS = {16: 25, 128: 10, 512: 5}  # tokens of a single request -> requests in each round


@dataclass
class Participant:
    """A contestant that takes part, with the batches that were chosen for it.

    Attributes:
        spec: its entry in the list.
        contestant: loaded.
        batching: by workload.
        sample_rate: texts a second on the sample, by workload.
    """

    spec: ContestantSpec
    contestant: Contestant
    batching: dict[str, Batching] = field(default_factory=dict)
    sample_rate: dict[str, float] = field(default_factory=dict)

    def describe_batches(self, workload: str) -> str:
        """Return its batches in words."""
        batching = self.batching[workload]
        workers = f", {batching.workers} at a time" if batching.workers > 1 else ""
        return f"{batching.size} {self.contestant.batch_unit}{workers}"

    def timed_texts(self, workload: str, texts: list[str]) -> list[str]:
        """Return the texts that it is timed on: all of them, or what takes about ``TURN_SECONDS``.

        Fewer texts are enough where batches do not depend on length. Where they do, more texts give better batches.
        """
        if self.contestant.batch_unit == "tokens":
            return texts
        return every_nth(texts, max(1, round(len(texts) / self.sample_rate[workload] / TURN_SECONDS)))


@dataclass
class TimeBudget:
    """Splits the remaining time among the remaining phases.

    Attributes:
        end: when the time is up, on the clock of ``time.monotonic``.
        weights: of the phases to come; each gets the share of the time that its weight has of their sum.
    """

    end: float
    weights: dict[str, float]

    def allot(self, phase: str) -> float:
        """Return the seconds that a phase may take, and remove it from the phases to come."""
        total = sum(self.weights.values())
        return max(0.0, self.end - time.monotonic()) * self.weights.pop(phase) / total


@dataclass
class Contest:
    """The contestants that take part, and the reasons why others do not."""

    participants: dict[str, Participant] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    threads: int = 1

    def leave_out(self, key: str, error: Exception) -> None:
        """Go on without a contestant, and keep the reason."""
        text = " ".join(str(error).split()) or repr(error)
        reason = text if isinstance(error, Unavailable) else f"{type(error).__name__}: {text:.300}"
        self.left_out[key] = reason
        self.participants.pop(key, None)
        print(f"  left out: {key} ({reason})", file=sys.stderr, flush=True)

    def load(self, specs: Mapping[str, ContestantSpec], model: Path, cache: Path, threads: int) -> None:
        """Load all contestants that are not left out yet."""
        self.threads = threads
        for key, spec in specs.items():
            if key in self.left_out:
                continue
            try:
                self.participants[key] = Participant(spec, spec.load(model, cache, threads))
            except Exception as error:  # a failure inside a library leaves out its contestant, not the others
                self.leave_out(key, error)

    def unload(self) -> None:
        """Free all contestants."""
        self.participants.clear()
        gc.collect()

    def take_turns(self, run: Callable[[str, Participant], Any], rounds: int, seconds: float) -> dict[str, list[float]]:
        """Time all participants once in each round. Each round begins with another one.

        Args:
            run: what is timed; takes key and participant.
            rounds: how many at most; at least one is run.
            seconds: no round begins that would probably end later than this.

        Returns:
            Seconds of each round, by key.
        """
        taken: dict[str, list[float]] = {key: [] for key in self.participants}
        start, longest, count = time.monotonic(), 0.0, 0
        while count < rounds and (count == 0 or time.monotonic() - start + longest <= seconds):
            round_start, keys = time.monotonic(), list(self.participants)
            first = ROTATION * count % max(1, len(keys))
            for key in keys[first:] + keys[:first]:
                gc.collect()
                time.sleep(PAUSE)
                if "torch" in sys.modules:  # CTranslate2 sets OpenMP's number of threads for the whole process
                    sys.modules["torch"].set_num_threads(self.threads)
                try:
                    turn_start = time.perf_counter()
                    run(key, self.participants[key])
                    taken[key].append(time.perf_counter() - turn_start)
                except Exception as error:  # a failure inside a library leaves out its contestant, not the others
                    self.leave_out(key, error)
                    continue
                print(f"  round {count + 1}  {key}: {taken[key][-1]:.2f} s", file=sys.stderr, flush=True)
            longest, count = max(longest, time.monotonic() - round_start), count + 1
        return {key: values for key, values in taken.items() if key in self.participants}

    def choose_batches(self, workload: str, sample: list[str], chosen: Mapping[str, Batching]) -> None:
        """Choose the batches of each participant for a workload.

        Args:
            workload: its name.
            sample: texts to try batches on.
            chosen: batches chosen earlier, by key, for another number of threads; they are kept.
        """

        def choose(key: str, participant: Participant) -> None:
            contestant = participant.contestant
            if key in chosen:
                best = Batching(chosen[key].size, min(chosen[key].workers, max(contestant.worker_counts())))
                start = time.perf_counter()
                contestant.label_all(sample, best)
                seconds = time.perf_counter() - start
            else:
                best, seconds = best_batching(contestant, sample)
            participant.batching[workload], participant.sample_rate[workload] = best, len(sample) / seconds

        self.take_turns(choose, 1, 0)

    def throughput(self, workload: str, texts: list[str], rounds: int, seconds: float) -> dict[str, Any]:
        """Return the texts a second of all participants, with their batches."""
        timed = {key: participant.timed_texts(workload, texts) for key, participant in self.participants.items()}
        taken = self.take_turns(
            lambda key, participant: participant.contestant.label_all(timed[key], participant.batching[workload]),
            rounds,
            seconds,
        )
        return {
            "texts": len(texts),
            "rounds": max(map(len, taken.values()), default=0),
            "timed_on_fewer_texts": {key: len(timed[key]) for key in taken if len(timed[key]) < len(texts)},
            "batches": {key: self.participants[key].describe_batches(workload) for key in taken},
            "rates": {
                key: {kind: round(len(timed[key]) / value, 1) for kind, value in best_and_median(values).items()}
                for key, values in taken.items()
            },
        }

    def latency(self, words: list[str], rounds: int, seconds: float) -> dict[str, Any]:
        """Return the milliseconds of single requests, by tokens and contestant.

        Args:
            words: of one token each; every request is another text of random words.
            rounds: how many at most.
            seconds: see :meth:`take_turns`.
        """
        milliseconds: dict[int, dict[str, list[float]]] = {tokens: {} for tokens in REQUESTS}
        generator = random.Random(0)

        def send_requests(key: str, participant: Participant) -> None:
            if participant.spec.only_batching_differs:
                return
            for tokens, count in REQUESTS.items():
                times = milliseconds[tokens].setdefault(key, [])
                warm_up = 0 if times else 2  # the first requests allocate memory and choose kernels
                for number in range(warm_up + count):
                    text = " ".join(generator.choices(words, k=tokens - 2))  # [CLS] and [SEP] make up the rest
                    start = time.perf_counter()
                    participant.contestant.label(text)
                    if number >= warm_up:
                        times.append(1000 * (time.perf_counter() - start))

        finished = self.take_turns(send_requests, rounds, seconds)
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
            for tokens, by_key in milliseconds.items()
        }


def best_batching(contestant: Contestant, sample: list[str]) -> tuple[Batching, float]:
    """Find a contestant's fastest batches: first the number of workers, then larger sizes as long as they help.

    Returns:
        The batching, and its seconds for the sample.
    """
    measured: dict[Batching, float] = {}

    def seconds(batching: Batching) -> float:
        if batching not in measured:
            start = time.perf_counter()
            contestant.label_all(sample, batching)
            measured[batching] = time.perf_counter() - start
        return measured[batching]

    sizes, worker_counts = contestant.batch_sizes, contestant.worker_counts()
    contestant.label_all(sample[: max(1, len(sample) // 4)], Batching(sizes[len(sizes) // 2]))  # warm-up
    if len(worker_counts) > 1:
        for workers in worker_counts:
            seconds(Batching(sizes[1], workers))
        best = min(measured, key=measured.__getitem__)
    else:
        best = Batching(sizes[0], worker_counts[0])
    for size in sizes:
        candidate = Batching(size, best.workers)
        if seconds(candidate) < seconds(best):
            best = candidate
        elif size > best.size and seconds(candidate) > WORSE * seconds(best):
            break
    return best, seconds(best)


def every_nth(texts: list[str], n: int) -> list[str]:
    """Return every n-th text in order of length, so that the mix of lengths stays; they keep their original order."""
    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    return [texts[index] for index in sorted(by_length[n // 2 :: n])]
