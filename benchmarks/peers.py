"""From text to labels: every library that runs DistilBERT on a CPU, and ours, in turn in one run.

    python -m benchmarks.peers                                    # about 25 minutes, two threads and one
    python -m benchmarks.peers --threads 2 --thin 4 --max-minutes 10
    python -m benchmarks.peers --contestants openvino-int8 engine-int8 --workloads sst2
    python -m benchmarks.peers --isa avx2                         # all libraries without AVX512

Speed is measured on a model of DistilBERT-base's size with random weights, accuracy on a model fine-tuned on SST-2.

- ``sst2``: the 872 sentences of SST-2 dev.
- ``imdb``: 256 reviews, truncated to 512 tokens.
- ``latency``: single requests of 16, 128 and 512 tokens.
- ``fresh``: a new process for each contestant; seconds from its start to the first label, its memory after
  that and at the peak; and the size of what pip installs for it.
- ``accuracy``: on SST-2 dev, with the number of labels that differ from those of transformers in fp32.

The batches of each contestant are chosen before the rounds: they are the fastest of several on a sample. A library
without a pipeline of its own gets batches of similar length from the same tokenizer. transformers takes texts as they
come and is timed on about ten seconds of them, evenly chosen by length. The order of turns moves from round to round.
If time is short, there are fewer rounds. Every further number of threads gets only each ``--thin-more``-th text. A
contestant that cannot run is listed with its reason.

CTranslate2 and PyTorch share one OpenMP. With both in a process, PyTorch's threads sleep between two loops, which adds
about two milliseconds to a request. Leave CTranslate2 out with ``--contestants`` to measure latencies of the others.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distilbert import DistilBertTokenizerFast

from . import common, contest_report, contestant_process, instruction_sets
from .contest import Contest, Participant, TimeBudget, every_nth
from .contestant_files import LIBRARIES, cache_folder
from .contestant_list import CONTESTANTS, ContestantSpec
from .contestants import Batching
from .installed_size import installed_megabytes

ROOT = Path(__file__).parents[1]
WEIGHTS = {"accuracy": 2.0, "fresh": 3.0, "sst2": 6.0, "imdb": 10.0, "latency": 3.0}  # shares of the time
FEWER_THREADS = 0.3  # share of a workload's time that a further number of threads gets
SAMPLES = {"sst2": 110, "imdb": 12}  # number of texts on which batches are chosen
PROCESS_ROUNDS = 3


def prepare(contest: Contest, specs: Mapping[str, ContestantSpec], model: Path) -> Path:
    """Write the files of all contestants and return their folder; leave out those that lack something."""
    cache = cache_folder(model, ROOT / "build" / "peers")
    for key, spec in specs.items():
        print(f"  preparing {key}", file=sys.stderr, flush=True)
        try:
            spec.prepare(model, cache)
        except Exception as error:  # a failure inside a library leaves out its contestant, not the others
            contest.leave_out(key, error)
    return cache


def measure_accuracy(
    model: Path, specs: Mapping[str, ContestantSpec], texts: list[str], labels: list[str], threads: int
) -> dict[str, Any]:
    """Return the accuracy of each contestant, and how many of its labels differ from those of transformers in fp32."""
    if not (model / "model.safetensors").exists():
        print(f"  no accuracy: there is no model at {model}", file=sys.stderr)
        return {"left_out": {"all": "no such model"}}
    contest = Contest()
    specs = {key: spec for key, spec in specs.items() if not spec.only_batching_differs}
    cache = prepare(contest, specs, model)
    predictions: dict[str, list[str]] = {}

    def predict(key: str, participant: Participant) -> None:
        size = min(participant.contestant.batch_sizes[-1], 2048)
        predictions[key] = participant.contestant.label_all(texts, Batching(size))

    for key, spec in specs.items():  # one after the other, so that memory holds one model
        contest.load({key: spec}, model, cache, threads)
        contest.take_turns(predict, 1, 0)
        contest.unload()
    reference = predictions.get("transformers")
    return {
        "model": model.name,
        "texts": len(texts),
        "of": {
            key: {
                "accuracy": round((len(labels) - _differences(predicted, labels)) / len(labels), 4),
                "labels_changed": None if reference is None else _differences(predicted, reference),
            }
            for key, predicted in predictions.items()
        },
        "left_out": contest.left_out,
    }


def _differences(labels: list[str], others: list[str]) -> int:
    return sum(label != other for label, other in zip(labels, others, strict=True))


def measure_processes(
    contest: Contest, model: Path, cache: Path, threads: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """Return seconds to the first label, memory and installed size of each contestant, in new processes."""
    measured: dict[str, list[tuple[float, float | None, float | None]]] = {}

    def run(key: str, participant: Participant) -> None:
        if not participant.spec.only_batching_differs:
            default = Batching(min(1024, participant.contestant.batch_sizes[-1]))
            batching = participant.batching.get("sst2", default)
            figures = contestant_process.measure(key, model, cache, threads, batching)
            measured.setdefault(key, []).append(figures)

    contest.take_turns(run, rounds, seconds)
    return {
        key: {
            "first_label_s": {
                kind: round(value, 2) for kind, value in common.best_and_median([time for time, *_ in values]).items()
            },
            "first_label_mb": min((size for _, size, _ in values if size is not None), default=None),
            "peak_mb": min((peak for *_, peak in values if peak is not None), default=None),
            "installed_mb": installed_megabytes(CONTESTANTS[key].runs_with or CONTESTANTS[key].needs),
        }
        for key, values in measured.items()
    }


def auto_precision(model: Path) -> str | None:
    """Return the contestant that ``precision="auto"`` chooses on this machine; None if the engine does not run."""
    from distilbert import EngineRunner

    try:
        return f"engine-{EngineRunner.from_folder(model).precision}"
    except Exception:  # the engine's own contestants state the reason
        return None


def words_of_one_token(tokenizer: DistilBertTokenizerFast) -> list[str]:
    """Return words of more than three letters that are one token each."""
    return sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 3)


def measure(arguments: argparse.Namespace, specs: Mapping[str, ContestantSpec], end: float) -> dict[str, Any]:
    """Run all phases and return the figures.

    Args:
        arguments: of the command line.
        specs: the contestants, by key.
        end: when the time is up, on the clock of ``time.monotonic``.
    """
    contest, phases = Contest(), arguments.workloads
    texts = {"sst2": common.sst2_dev(), "imdb": common.imdb_reviews(256)}
    texts = {name: every_nth(texts[name], arguments.thin) for name in texts if name in phases}
    model = common.base_model(ROOT / "build" / "peers" / "distilbert-base")
    cache = prepare(contest, specs, model)
    words = words_of_one_token(DistilBertTokenizerFast.from_pretrained(model))
    first_threads = arguments.threads[0]
    weights = {name: WEIGHTS[name] * (name in phases) for name in ("accuracy", "fresh")}
    for threads in arguments.threads:
        share = 1 if threads == first_threads else FEWER_THREADS
        weights |= {f"{name} {threads}": WEIGHTS[name] * share for name in texts}
        weights |= {f"latency {threads}": WEIGHTS["latency"]} if "latency" in phases else {}
    budget = TimeBudget(end, weights)
    budget.allot("accuracy")  # it runs once, however long that takes
    result: dict[str, Any] = {"accuracy": {}, "fresh_process": {}, "texts_per_second": {}, "latency_ms": {}}
    if "accuracy" in phases:
        sentences, labels = common.sst2_dev()[:: arguments.thin], common.sst2_dev_labels()[:: arguments.thin]
        result["accuracy"] = measure_accuracy(arguments.accuracy_model, specs, sentences, labels, first_threads)
    batchings: dict[str, dict[str, Batching]] = {name: {} for name in texts}  # workload -> contestant -> batches
    for threads in arguments.threads if set(phases) != {"accuracy"} else []:
        title = f"{threads} thread{'s' * (threads > 1)}"
        contest.load(specs, model, cache, threads)
        throughput = result["texts_per_second"][title] = {}
        for name, workload in texts.items():
            timed = workload if threads == first_threads else every_nth(workload, arguments.thin_more)
            sample = every_nth(workload, max(1, len(workload) // SAMPLES[name]))
            contest.choose_batches(name, sample, batchings[name])
            batchings[name] |= {key: each.batching[name] for key, each in contest.participants.items()}
            seconds = budget.allot(f"{name} {threads}")
            throughput[name] = contest.throughput(name, timed, arguments.rounds, seconds)
        if "latency" in phases:
            seconds = budget.allot(f"latency {threads}")
            result["latency_ms"][title] = contest.latency(words, arguments.rounds, seconds)
        if threads == first_threads and "fresh" in phases:
            rounds = min(PROCESS_ROUNDS, arguments.rounds)
            seconds = budget.allot("fresh")
            result["fresh_process"] = measure_processes(contest, model, cache, threads, rounds, seconds)
        contest.unload()
    result["auto_is"] = auto = auto_precision(model)
    result["faster_than_peers"] = {
        title: contest_report.throughput_ratios(throughput, auto)
        for title, throughput in result["texts_per_second"].items()
    }
    result["latency_of_peers_over_ours"] = {
        title: contest_report.latency_ratios(latency) for title, latency in result["latency_ms"].items()
    }
    return result | {"left_out": contest.left_out}


def main() -> None:
    """Measure, print the table, draw the chart and write the result file."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=list(WEIGHTS), default=list(WEIGHTS))
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds at most")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, min(2, os.cpu_count() or 1)})[::-1])
    parser.add_argument("--thin", type=int, default=1, metavar="N", help="take every N-th text, in order of length")
    parser.add_argument(
        "--thin-more", type=int, default=8, metavar="N", help="of these, every N-th for the further numbers of threads"
    )
    parser.add_argument(
        "--max-minutes", type=float, default=25, help="fewer rounds if time is short, never fewer contestants"
    )
    parser.add_argument(
        "--isa", choices=list(instruction_sets.SWITCHES), help="keep all libraries to one set of instructions"
    )
    parser.add_argument("--accuracy-model", type=Path, default=ROOT / "models" / "tasks" / "sst2" / "teacher")
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the result file and the chart")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["DISTILBERT_TEST_DATA"] = arguments.data
    specs = {key: spec for key, spec in CONTESTANTS.items() if key in arguments.contestants}
    load = common.load_average()
    left_out: dict[str, str] = {}
    if arguments.isa:
        instruction_sets.restrict(arguments.isa)
        for key in list(specs):
            reason = instruction_sets.reason_to_leave_out(arguments.isa, specs[key].runs_with or specs[key].needs)
            if reason:
                left_out[key] = reason
                del specs[key]
    figures = measure(arguments, specs, start + 60 * arguments.max_minutes)
    result = {"threads": arguments.threads, "load_before": load} | figures
    result["left_out"] |= left_out
    if arguments.isa:
        result |= {"isa": arguments.isa, "isa_obeyed": instruction_sets.obeyed(arguments.isa)}
    result["minutes"] = round((time.monotonic() - start) / 60, 1)
    print(contest_report.table(result))
    for key, reason in result["left_out"].items():
        print(f"\nleft out: {CONTESTANTS[key].title}: {reason}")
    threads, throughput = next(iter(result["texts_per_second"].items()), ("", {}))
    title = f"DistilBERT-base from text to labels, {common.machine()['cpu']}, {threads}"
    path = arguments.output / f"peers-{common.today()}.png"
    reason_without = contest_report.chart(throughput, title, path)
    print(f"\nno chart: {reason_without}\n" if reason_without else f"\nchart: {path}\n")
    common.write_result("peers", result, arguments.output, LIBRARIES)


if __name__ == "__main__":
    main()
