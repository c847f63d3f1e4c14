"""From text to labels: every library that runs DistilBERT on a CPU, and ours, in turn in one run.

    python -m benchmarks.peers                                    # about 25 minutes, two threads and one
    python -m benchmarks.peers --threads 2 --thin 4 --max-minutes 10
    python -m benchmarks.peers --contestants openvino-int8 engine-int8 --workloads sst2

Speed is measured on DistilBERT-base's size with random weights, accuracy with a model fine-tuned on SST-2. Workloads:
``sst2``, the 872 sentences of SST-2 dev; ``imdb``, 256 reviews cut to 512 tokens; ``latency``, single requests of 16,
128 and 512 tokens; ``fresh``, a process of its own for each: seconds from its start to the first label, peak memory;
``accuracy``, on SST-2 dev, and how many labels differ from transformers in fp32. Each contestant's batches are the best
of some on a sample, before the rounds; whoever has no pipeline of its own gets batches of similar length, by the same
tokenizer. transformers, which takes texts as they come, is timed on about ten seconds of them, thinned evenly. The
order of turns moves from round to round. Where time is short, there are fewer rounds; the further numbers of threads
get every ``--thin-more``-th text. A contestant that cannot run is named with its reason.

CTranslate2 and PyTorch share one OpenMP, and with both in a process PyTorch's threads sleep between two loops: some two
milliseconds a request. For latencies of transformers and ours, leave CTranslate2 out by ``--contestants``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from . import common, peer_fresh, peer_report
from .contestants import CONTESTANTS, Entry
from .peer_contestant import Batching
from .peer_files import cache_folder
from .peer_turns import Clock, Contest, Player, thinned

ROOT = Path(__file__).parents[1]
WEIGHTS = {"accuracy": 2.0, "fresh": 3.0, "sst2": 6.0, "imdb": 10.0, "latency": 3.0}  # shares of the time
SAMPLES = {"sst2": 110, "imdb": 12}  # texts that batches are chosen on
FRESH_ROUNDS = 3


def prepare(contest: Contest, entries: dict[str, Entry], model: Path) -> Path:
    """Make the files of all contestants and return their folder; whoever lacks something is left out."""
    cache = cache_folder(model, ROOT / "build" / "peers")
    for key, entry in entries.items():
        print(f"  preparing {key}", file=sys.stderr, flush=True)
        try:
            entry.make_ready(model, cache)
        except Exception as error:  # a library's own failure leaves out its contestant, not the others
            contest.leave_out(key, error)
    return cache


def accuracy(model: Path, entries: dict[str, Entry], texts: list[str], labels: list[str], threads: int) -> Any:
    """Return the share of right labels of each contestant, and how many differ from those of transformers in fp32."""
    if not (model / "model.safetensors").exists():
        print(f"  no accuracy: there is no model at {model}", file=sys.stderr)
        return {"left_out": {"all": "no such model"}}
    contest = Contest()
    entries = {key: entry for key, entry in entries.items() if entry.alone}
    cache = prepare(contest, entries, model)
    answers: dict[str, list[str]] = {}
    for key, entry in entries.items():
        one = Contest(left_out=contest.left_out)
        one.start({key: entry}, model, cache, threads)

        def run(key: str, player: Player) -> None:
            sizes = player.contestant.sizes
            answers[key] = player.contestant.many(texts, Batching(min(sizes[-1], 2048)))

        one.in_turn(run, 1, 0)
    truth = answers.get("transformers")
    return {
        "model": model.name,
        "texts": len(texts),
        "of": {
            key: {
                "accuracy": round(sum(a == b for a, b in zip(given, labels, strict=True)) / len(labels), 4),
                "labels_changed": None if truth is None else sum(a != b for a, b in zip(given, truth, strict=True)),
            }
            for key, given in answers.items()
        },
        "left_out": contest.left_out,
    }


def fresh(contest: Contest, model: Path, cache: Path, threads: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Return seconds to the first label and peak memory of each contestant in processes of their own."""
    found: dict[str, list[tuple[float, float | None]]] = {}

    def run(key: str, player: Player) -> None:
        if player.entry.alone:
            batching = player.batching.get("sst2", Batching(min(1024, player.contestant.sizes[-1])))
            found.setdefault(key, []).append(peer_fresh.measure(key, model, cache, threads, batching))

    contest.in_turn(run, rounds, seconds)
    return {
        key: {
            "first_label_s": {kind: round(value, 2) for kind, value in common.best_and_median(times).items()},
            "peak_mb": min((peak for _, peak in values if peak is not None), default=None),
        }
        for key, values in found.items()
        if (times := [time for time, _ in values])
    }


def auto_precision(model: Path) -> str | None:
    """Return the contestant that ``precision="auto"`` means on this machine."""
    try:
        from distilbert import EngineRunner

        from .contestants import load_model

        return f"engine-{EngineRunner(load_model(model)).precision}"
    except Exception:  # the engine's own contestants name the reason
        return None


def words_of(tokenizer: Any) -> list[str]:
    """Return words of one token each."""
    return sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 3)


def measure(arguments: argparse.Namespace, entries: dict[str, Entry]) -> dict[str, Any]:
    """Run all phases and return what was found."""
    from distilbert import DistilBertTokenizerFast

    contest, wanted = Contest(), arguments.workloads
    texts = {"sst2": common.sst2_dev(), "imdb": common.imdb_reviews(256)}
    labels = _labels()
    texts = {name: thinned(texts[name], arguments.thin) for name in texts if name in wanted}
    model = common.base_model(ROOT / "build" / "peers" / "distilbert-base")
    cache = prepare(contest, entries, model)
    words = words_of(DistilBertTokenizerFast.from_pretrained(model))
    most = arguments.threads[0]
    weights = {
        "accuracy": WEIGHTS["accuracy"] * ("accuracy" in wanted),
        "fresh": WEIGHTS["fresh"] * ("fresh" in wanted),
    }
    for threads in arguments.threads:
        weights |= {f"{name} {threads}": WEIGHTS[name] * (1 if threads == most else 0.3) for name in texts}
        weights |= {f"latency {threads}": WEIGHTS["latency"]} if "latency" in wanted else {}
    clock = Clock(arguments.begin + 60 * arguments.max_minutes, weights)
    clock.allot("accuracy")
    result: dict[str, Any] = {"accuracy": {}, "fresh_process": {}, "texts_per_second": {}, "latency_ms": {}}
    if "accuracy" in wanted:
        sentences = common.sst2_dev()[:: arguments.thin]
        result["accuracy"] = accuracy(arguments.accuracy_model, entries, sentences, labels[:: arguments.thin], most)
    chosen: dict[str, dict[str, Batching]] = {name: {} for name in texts}
    for threads in arguments.threads if set(wanted) != {"accuracy"} else []:
        title = f"{threads} thread{'s' * (threads > 1)}"
        contest.start(entries, model, cache, threads)
        speeds = result["texts_per_second"][title] = {}
        for name, given in texts.items():
            some = given if threads == most else thinned(given, arguments.thin_more)
            contest.choose_batches(name, thinned(given, max(1, len(given) // SAMPLES[name])), chosen[name])
            chosen[name] |= {key: player.batching[name] for key, player in contest.players.items()}
            speeds[name] = contest.throughput(name, some, arguments.rounds, clock.allot(f"{name} {threads}"))
        if "latency" in wanted:
            allotted = clock.allot(f"latency {threads}")
            result["latency_ms"][title] = contest.latency(words, arguments.rounds, allotted)
        if threads == most and "fresh" in wanted:
            rounds = min(FRESH_ROUNDS, arguments.rounds)
            result["fresh_process"] = fresh(contest, model, cache, most, rounds, clock.allot("fresh"))
        contest.stop()
    result["auto_is"] = auto = auto_precision(model)
    result["faster_than_peers"] = {
        title: peer_report.ratios(speeds, auto) for title, speeds in result["texts_per_second"].items()
    }
    result["latency_of_peers_over_ours"] = {
        title: peer_report.latency_ratios(latency) for title, latency in result["latency_ms"].items()
    }
    return result | {"left_out": contest.left_out}


def _labels() -> list[str]:
    """Return the right answers of SST-2 dev, as the fine-tuned model calls them."""
    lines = (common.data_folder() / "sst2" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [("negative", "positive")[int(line.split("\t")[1])] for line in lines]


def main() -> None:
    """Measure, print the table, draw the chart and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WEIGHTS), default=list(WEIGHTS))
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=5, help="at most")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, min(2, os.cpu_count() or 1)})[::-1])
    parser.add_argument("--thin", type=int, default=1, help="N: take every N-th text, in order of length")
    parser.add_argument("--thin-more", type=int, default=8, help="the same on top, for the further numbers of threads")
    parser.add_argument("--max-minutes", type=float, default=25, help="drops rounds, never contestants")
    parser.add_argument("--accuracy-model", type=Path, default=ROOT / "models" / "tasks" / "sst2" / "teacher")
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the result file and the chart")
    arguments = parser.parse_args()
    arguments.begin = time.monotonic()
    if arguments.data:
        os.environ["DISTILBERT_TEST_DATA"] = arguments.data
    entries = {key: entry for key, entry in CONTESTANTS.items() if key in arguments.contestants}
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    result = {"threads": arguments.threads, "load_before": load} | measure(arguments, entries)
    result["minutes"] = round((time.monotonic() - arguments.begin) / 60, 1)
    print(peer_report.table(result))
    for key, reason in result["left_out"].items():
        print(f"\nleft out: {CONTESTANTS[key].name}: {reason}")
    first, speeds = next(iter(result["texts_per_second"].items()), ("", {}))
    title = f"DistilBERT-base from text to labels, {common.machine()['cpu']}, {first}"
    drawn = arguments.output / f"peers-{peer_report.today()}.png"
    missing = peer_report.chart(speeds, title, drawn)
    print(f"\nno chart: {missing}\n" if missing else f"\nchart: {drawn}\n")
    peer_report.save("peers", result, arguments.output)


if __name__ == "__main__":
    main()
