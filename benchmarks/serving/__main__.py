"""The server under load: ours, and what else people put around such a model, in turn.

    python -m benchmarks.serving                  # everything, about half an hour; goes on where it was stopped
    python -m benchmarks.serving --seconds 220    # stops before a phase that would end later, to go on another time
    python -m benchmarks.serving --phases cost    # one phase again

Each phase starts the servers that it needs and ends them.

- ``cost``: CPU of the server's processes for a request of one text with 25 tokens at saturation; the library alone in
  batches of the same tokens; and the server around a model that computes nothing. They take turns.
- ``short``, ``mixed``, ``long``: each server with 1, 16 and 256 clients that ask as fast as they are answered, and then
  256 clients at given rates, as shares of what it reached. Latencies count from the time when a request was due. Steps
  with short texts run twice, and the one with the lower p99 counts: other machines on the same host disturb some.
- ``overload``: three times the capacity for a minute. Each request is answered rightly or refused with 429.
- ``busy``: beside two busy loops on the same cores, against quiet.

The client is a process of its own on the same cores, so throughputs are those of server and client together, and the
same for all. Server and client are not pinned. FastAPI and its relatives are installed by ``make bench-serving``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import common
from . import report
from .contestants import BUILD, CONTESTANTS, ROOT, RunningServer, ServedFiles, running
from .workloads import WORKLOADS, of_25_tokens, texts_of

CLIENTS = (1, 16, 256)
SHARES = {  # of the rate that a server reached, at which requests arrive
    "short": (0.25, 0.5, 0.7, 0.85, 0.95, 1.1),
    "mixed": (0.5, 0.75, 0.9),
    "long": (0.5, 0.75, 0.9),
}
STEP_ROUNDS = {"short": 2, "mixed": 1, "long": 1}  # of which the one with the lower p99 counts
RIVALS = ("ours", "fastapi-transformers", "fastapi-onnxruntime", "infinity")
PHASE_SECONDS = {
    "cost": 60,
    "short": 50,
    "mixed": 36,
    "long": 36,
    "overload": 110,
    "busy": 40,
}  # what a phase takes, about
COST_ROUNDS = 4
STATE = BUILD / "state.json"


class Client:
    """The process that sends; see ``load_client``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.serving.load_client"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, server: RunningServer, texts: list[str], seconds: float, **order: Any) -> dict[str, Any]:
        """Send requests to a server; see ``load_client.main``. The server's CPU seconds are added."""
        contestant = server.contestant
        bodies = [json.dumps(contestant.body(text)) for text in texts]
        line = {"port": server.port, "path": contestant.path, "bodies": bodies, "seconds": seconds} | order
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = server.cpu_seconds()
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        result["server_cpu"] = server.cpu_seconds() - before
        answered = result["statuses"].get("200", 0)
        result["cpu_us_a_request"] = round(1e6 * result["server_cpu"] / max(1, answered), 1)
        result["requests_a_second"] = round(answered / (result["seconds"] + result["drained_in"]), 1)
        return result

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def files_for(threads: int) -> ServedFiles:
    """Write the files that the servers need, once."""
    from distilbert import DistilBertTokenizerFast
    from distilbert.core.installed import find_installed

    source = find_installed("distilbert-mini-sst2")
    if source is None:
        sys.exit("The package distilbert-mini-sst2 is not installed: run `make run` first.")
    folder, onnx = BUILD / "model", BUILD / "onnx"
    if not (onnx / "tokenizer.json").exists():
        from distilbert import DistilBertForSequenceClassification

        from ..contestant_files import write_onnx_fp32

        tokenizer = DistilBertTokenizerFast.from_pretrained(source)
        DistilBertForSequenceClassification.from_pretrained(source, dtype="float32").save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_onnx_fp32(folder, BUILD)
        onnx.mkdir(exist_ok=True)
        (BUILD / "onnx-fp32" / "model.onnx").replace(onnx / "model.onnx")
        tokenizer.save_pretrained(onnx)
    return ServedFiles(folder, onnx, threads)


LIBRARY = """
import json, sys, time
from distilbert import pipeline
order = json.loads(sys.stdin.readline())
classify = pipeline("text-classification", order["model"], threads=order["threads"], precision="fp32")
texts = order["texts"]
classify(texts)
for line in sys.stdin:
    cpu, start, count = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - start < float(line):
        classify(texts)
        count += len(texts)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - start, count]), flush=True)
"""


def cost(files: ServedFiles, client: Client) -> dict[str, Any]:
    """Measure CPU microseconds a text, in turn: the library, the server, it without a model, and uvicorn alone."""
    texts = of_25_tokens(500)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    names = ("library", "server", "empty", "uvicorn")
    microseconds: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with (
        running("ours-as-it-is", files) as ours,
        running("empty", files) as empty,
        running("fixed-answer", files) as uvicorn,
        subprocess.Popen(
            [sys.executable, "-c", LIBRARY], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as library,
    ):
        assert library.stdin is not None
        assert library.stdout is not None
        order = {"model": str(files.folder), "threads": files.threads, "texts": texts}
        library.stdin.write(json.dumps(order) + "\n")
        servers = {"server": ours, "empty": empty, "uvicorn": uvicorn}
        for server in servers.values():
            client.run(server, texts, 1.0, connections=256)
        for _ in range(COST_ROUNDS):
            library.stdin.write("4\n")
            library.stdin.flush()
            cpu, seconds, count = json.loads(library.stdout.readline())
            microseconds["library"].append(1e6 * cpu / count)
            rates["library"].append(count / seconds)
            for name, server in servers.items():
                result = client.run(server, texts, 4.0, connections=256)
                microseconds[name].append(result["cpu_us_a_request"])
                rates[name].append(result["requests_a_second"])
        library.stdin.close()
    medians = {name: round(statistics.median(values), 1) for name, values in microseconds.items()}
    over = [server - alone for server, alone in zip(microseconds["server"], microseconds["library"], strict=True)]
    return {
        "tokens_a_text": 25,
        "cpu_us_a_text": {name: [round(value, 1) for value in values] for name, values in microseconds.items()},
        "median": medians,
        "server_over_library_us": {
            "each": [round(each, 1) for each in over],
            "median": round(statistics.median(over), 1),
        },
        "texts_a_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
    }


def compare(key: str, workload: str, files: ServedFiles, client: Client) -> dict[str, Any]:
    """Measure a server with one workload: as fast as it answers, then at given rates."""
    texts = texts_of(workload)
    result: dict[str, Any] = {"closed": {}, "open": []}
    with running(key, files) as server:
        client.run(server, texts, 1.5, connections=16)
        for clients in CLIENTS:
            result["closed"][str(clients)] = client.run(server, texts, 3.0, connections=clients)
        reached = result["closed"]["256"]["requests_a_second"]
        for share in SHARES[workload]:
            rate = max(1.0, share * reached)
            steps = [client.run(server, texts, 3.0, connections=256, rate=rate) for _ in range(STEP_ROUNDS[workload])]
            best = min(steps, key=lambda step: float(step["latency_ms"]["p99"] or "inf"))
            times = [step["latency_ms"]["p99"] for step in steps]
            result["open"].append({"share": share, "rate": round(rate, 1), "p99_of_rounds_ms": times} | best)
    return result


def overload(files: ServedFiles, client: Client, seconds: float = 60.0) -> dict[str, Any]:
    """Send three times what the server can answer, for a minute."""
    texts = texts_of("short")
    expected = _expected(files, texts)
    deadline = {"headers": {"x-request-timeout-ms": "1000"}}
    with running("ours-as-it-is", files) as server:
        client.run(server, texts, 1.0, connections=16)
        before = client.run(server, texts, 2.0, connections=1)
        capacity = client.run(server, texts, 4.0, connections=256)["requests_a_second"]
        memory = [server.memory()]
        client.run(server, texts, 3.0, connections=1000, rate=3 * capacity, **deadline)
        memory.append(server.memory())
        flood = client.run(
            server, texts, seconds, connections=1000, rate=3 * capacity, expected=expected, **deadline
        )  # fmt: skip
        memory.append(server.memory())
        time.sleep(max(0.0, 2.0 - flood["drained_in"]))
        after = client.run(server, texts, 2.0, connections=1)
    return {
        "capacity": capacity,
        "rate": 3 * capacity,
        "deadline_ms": 1000,
        "single_before_ms": before["latency_ms"],
        "single_two_seconds_after_ms": after["latency_ms"],
        "memory_mb": [round(each / 1e6, 1) for each in memory],
        "flood": flood,
    }


def _expected(files: ServedFiles, texts: list[str]) -> list[tuple[str, float]]:
    from distilbert import pipeline

    classify = pipeline("text-classification", files.folder, precision="fp32", threads=files.threads)
    return [(answer["label"], answer["score"]) for answer in classify(texts)]


def busy(files: ServedFiles, client: Client) -> dict[str, Any]:
    """Measure the throughput quiet and beside two busy loops, in turn."""
    texts = texts_of("short")
    rates: dict[str, list[float]] = {"quiet": [], "beside_two_busy_loops": []}
    latencies: dict[str, list[Any]] = {"quiet": [], "beside_two_busy_loops": []}
    with running("ours-as-it-is", files) as server:
        client.run(server, texts, 1.5, connections=64)
        for _ in range(3):
            for name, count in (("quiet", 0), ("beside_two_busy_loops", 2)):
                loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
                try:
                    result = client.run(server, texts, 4.0, connections=64)
                finally:
                    for loop in loops:
                        loop.kill()
                        loop.wait()
                rates[name].append(result["requests_a_second"])
                latencies[name].append(result["latency_ms"])
    quiet, beside = (statistics.median(rates[name]) for name in rates)
    return {"requests_a_second": rates, "latency_ms": latencies, "share_of_quiet": round(beside / quiet, 3)}


Phase = Callable[[ServedFiles, Client], dict[str, Any]]


def phases(workloads: list[str], rivals: list[str]) -> dict[str, tuple[float, Phase]]:
    """Return all phases by their names, with the seconds that each takes about."""

    def comparison(key: str, workload: str) -> Phase:
        return lambda files, client: compare(key, workload, files, client)

    found: dict[str, tuple[float, Phase]] = {"cost": (PHASE_SECONDS["cost"], cost)}
    for workload in workloads:
        for key in rivals:
            found[f"{workload}: {key}"] = (PHASE_SECONDS[workload], comparison(key, workload))
    return found | {"overload": (PHASE_SECONDS["overload"], overload), "busy": (PHASE_SECONDS["busy"], busy)}


def main() -> None:
    """Run the phases that are not done, and write the result when all are."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", nargs="+", help="names, or beginnings of names, of phases to run again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no phase that would end later")
    parser.add_argument("--threads", type=int, default=2, help="that each server computes with")
    parser.add_argument("--prepare", action="store_true", help="only write the files that the servers need")
    parser.add_argument("--output", type=Path, default=common.RESULTS, help="folder of the result file and the chart")
    arguments = parser.parse_args()
    files = files_for(arguments.threads)
    if arguments.prepare:
        return
    state: dict[str, Any] = json.loads(STATE.read_text()) if STATE.exists() else {}
    all_phases = phases(list(WORKLOADS), list(RIVALS))
    chosen = arguments.phases or []
    todo = [name for name in all_phases if (name.startswith(tuple(chosen)) if chosen else name not in state)]
    client = Client()
    try:
        for name in todo:
            seconds, run = all_phases[name]
            if time.monotonic() - start + seconds > arguments.seconds:
                print(f"no time for {name}; run the command again to go on", file=sys.stderr)
                return
            print(f"{name} ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            try:
                reason = next((CONTESTANTS[key].available() for key in RIVALS if name.endswith(f": {key}")), "")
                state[name] = {"left_out": reason} if reason else run(files, client)
            except RuntimeError as error:  # a contestant that does not start leaves out itself only
                state[name] = {"left_out": str(error)}
            state[name] |= {"load_before": common.load_average(), "took": round(time.monotonic() - began, 1)}
            temporary = STATE.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(STATE)
    finally:
        client.close()
    if set(all_phases) <= set(state):
        write(state, arguments)


def write(state: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    """Write the result file and the chart, and print the table."""
    result = report.summarize(state, list(WORKLOADS), list(RIVALS)) | {"threads": arguments.threads}
    print(report.table(result))
    report.chart(result, arguments.output / f"serving-{common.today()}.png")
    packages = [name for contestant in CONTESTANTS.values() for name in contestant.packages]
    common.write_result("serving", result, arguments.output, [*packages, "uvicorn", "starlette", "httptools", "uvloop"])


if __name__ == "__main__":
    main()
