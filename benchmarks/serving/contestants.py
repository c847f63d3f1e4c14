"""The servers that take part: how each is started, and what a request to it looks like."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "serving"
INFINITY = BUILD / "infinity" / "bin" / "infinity_emb"  # it pins older versions, so it has an environment of its own
PATIENCE = 120.0  # seconds for a start
EVERYTHING = ("--max-tokens-queued", "100000000", "--timeout", "120")  # let in, as the other servers do


@dataclass(frozen=True)
class ServedFiles:
    """The model that all servers answer with.

    Attributes:
        folder: of the model.
        onnx: the model for ONNX Runtime.
        threads: that each server computes with.
    """

    folder: Path
    onnx: Path
    threads: int


@dataclass(frozen=True)
class Contestant:
    """A server.

    Attributes:
        title: its name for people.
        command: starts it, from the files and a port.
        path: of the route that classifies.
        body: of a request with a text.
        variables: of its environment.
        packages: whose versions belong to its figures.
        available: why it cannot take part; empty if it can.
    """

    title: str
    command: Callable[[ServedFiles, int], list[str]]
    path: str
    body: Callable[[str], Any]
    variables: Callable[[ServedFiles], Mapping[str, str]] = lambda files: {}
    packages: tuple[str, ...] = ()
    available: Callable[[], str] = lambda: ""


def _uvicorn(app: str) -> Callable[[ServedFiles, int], list[str]]:
    def command(files: ServedFiles, port: int) -> list[str]:
        return [sys.executable, "-m", "uvicorn", f"benchmarks.serving.{app}:app", "--port", str(port),
                "--log-level", "warning", "--no-access-log"]  # fmt: skip

    return command


def _ours(module: str, *options: str) -> Callable[[ServedFiles, int], list[str]]:
    def command(files: ServedFiles, port: int) -> list[str]:
        return [sys.executable, "-m", module, "serve", f"model={files.folder}", "--port", str(port),
                "--threads", str(files.threads), "--precision", "fp32", *options]  # fmt: skip

    return command


CONTESTANTS: dict[str, Contestant] = {
    "ours-as-it-is": Contestant(
        "distilbert serve", _ours("distilbert"), "/v1/text-classification", lambda text: {"inputs": text}
    ),
    "ours": Contestant(
        "distilbert serve",
        _ours("distilbert", *EVERYTHING),
        "/v1/text-classification",
        lambda text: {"inputs": text},
    ),
    "fastapi-transformers": Contestant(
        "FastAPI + transformers",
        _uvicorn("fastapi_transformers"),
        "/predict",
        lambda text: {"inputs": text},
        lambda files: {"MODEL": str(files.folder), "THREADS": str(files.threads)},
        ("fastapi", "transformers", "torch"),
    ),
    "fastapi-onnxruntime": Contestant(
        "FastAPI + ONNX Runtime, batched",
        _uvicorn("fastapi_onnxruntime"),
        "/predict",
        lambda text: {"inputs": text},
        lambda files: {
            "MODEL": str(files.folder),
            "ONNX": str(files.onnx / "model.onnx"),
            "TOKENIZER": str(files.onnx / "tokenizer.json"),
            "THREADS": str(files.threads),
        },
        ("fastapi", "onnxruntime"),
    ),
    "infinity": Contestant(
        "infinity",
        lambda files, port: [
            str(INFINITY), "v2", "--model-id", str(files.folder), "--served-model-name", "model", "--engine", "torch",
            "--device", "cpu", "--port", str(port), "--no-bettertransformer", "--log-level", "warning",
            "--dtype", "float32",
        ],
        "/classify",
        lambda text: {"model": "model", "input": [text]},
        lambda files: {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": str(files.threads)},
        (),
        lambda: "" if INFINITY.exists() else "it is not installed in build/serving/infinity",
    ),
    "fixed-answer": Contestant(
        "uvicorn with an application that does nothing", _uvicorn("fixed_answer"), "/", lambda text: {"inputs": text}
    ),
    "empty": Contestant(
        "distilbert serve without a model",
        _ours("benchmarks.serving.empty_model"),
        "/v1/text-classification",
        lambda text: {"inputs": text},
    ),
}  # fmt: skip


@dataclass
class RunningServer:
    """A server that runs.

    Attributes:
        contestant: which one it is.
        port: that it listens on.
        process: its first process.
    """

    contestant: Contestant
    port: int
    process: subprocess.Popen[bytes]
    _family: list[psutil.Process] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """Return the CPU time of its processes."""
        total = 0.0
        for process in self.family():
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def memory(self) -> int:
        """Return the resident bytes of its processes."""
        return sum(process.memory_info().rss for process in self.family())

    def family(self) -> list[psutil.Process]:
        """Return its processes."""
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]


@contextmanager
def running(key: str, files: ServedFiles) -> Iterator[RunningServer]:
    """Start a server, wait until it has answered, and end it."""
    contestant = CONTESTANTS[key]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = int(bound.getsockname()[1])
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"} | contestant.variables(files)
    if key == "infinity":
        del environment["PYTHONPATH"]
    BUILD.mkdir(parents=True, exist_ok=True)
    with (
        (BUILD / f"{key}.log").open("wb") as log,
        subprocess.Popen(contestant.command(files, port), cwd=ROOT, env=environment, stdout=log, stderr=log) as process,
    ):
        server = RunningServer(contestant, port, process)
        try:
            _wait_for_answer(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for_answer(server: RunningServer) -> None:
    body = json.dumps(server.contestant.body("a first text")).encode()
    address = f"http://127.0.0.1:{server.port}{server.contestant.path}"
    end = time.monotonic() + PATIENCE
    while True:
        request = urllib.request.Request(address, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                answer.read()
                return
        except urllib.error.HTTPError as error:
            if error.code not in (404, 503):
                raise RuntimeError(f"{server.contestant.title}: {error.code} {error.read()[:300]!r}") from None
        except OSError:
            pass
        if server.process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{server.contestant.title} does not start; see its log in {BUILD}")
        time.sleep(0.1)
