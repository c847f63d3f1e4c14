"""gunicorn with ``--preload``: the pipeline is made and used before the workers are forked, and answers in each."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.make_models import make

pytest.importorskip("gunicorn")
pytestmark = pytest.mark.timeout(300)

APP = """
import json
import os
import sys

from distilbert import pipeline

task = pipeline("text-classification", "labels", runner=os.environ["RUNNER"], threads=2, precision="fp32")
task(["a good film " * 15] * 16)  # so that the threads have started before the fork


def app(environ, start_response):
    text = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
    answer = {"answer": task([text] * 16)[0], "worker": os.getpid()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""
PATIENCE = 60  # seconds for a start or an answer, on a busy machine


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def post(port: int, text: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", text.encode(), timeout=PATIENCE) as response:
        return json.loads(response.read())


@pytest.fixture(params=["engine", "pytorch"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    make(tmp_path, "labels")
    (tmp_path / "served.py").write_text(APP, encoding="utf-8")
    number = free_port()
    command = [sys.executable, "-m", "gunicorn", "served:app", "--preload", "--workers", "2", "--threads", "2"]
    command += ["--bind", f"127.0.0.1:{number}", "--timeout", str(PATIENCE)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths, "RUNNER": request.param}
    with (
        (tmp_path / "log.txt").open("w") as log,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", number)).close()
                    break
                except ConnectionRefusedError:
                    assert server.poll() is None, (tmp_path / "log.txt").read_text()
                    assert time.monotonic() < end, (tmp_path / "log.txt").read_text()
                    time.sleep(0.1)
            yield number
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
    assert "WORKER TIMEOUT" not in (tmp_path / "log.txt").read_text()


def test_both_workers_answer(port: int) -> None:
    texts = [f"a good film {number % 4} " * 10 for number in range(20)]
    answers: list[Any] = []
    end = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(4) as pool:
        while len({answer["worker"] for answer in answers}) < 2:  # the system decides which of the two takes a request
            assert time.monotonic() < end, "one worker does not answer"
            answers += pool.map(lambda text: post(port, text), texts)
    for number, answer in enumerate(answers):
        first = answers[number % 4]["answer"]
        assert answer["answer"]["label"] == first["label"]
        assert answer["answer"]["score"] == pytest.approx(first["score"], abs=1e-5)
