"""A server in operation: it stops, reloads, loses a process and is asked for too much, and no request is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from distilbert.core.files import replacing_folder
from tests.behaviour.make_models import make
from tests.child_processes import children_of, needs_proc

from .server_process import Clients, server_process

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks of POSIX")
PATH = "/v1/text-classification"
TEXTS = [f"film {index} is good" for index in range(50)]


def copy_model(folder: Path, target: Path) -> None:
    """Put a copy of a model in the place of another, at once, as a deployment does."""
    with replacing_folder(target) as new:
        for path in folder.iterdir():
            (new / path.name).write_bytes(path.read_bytes())


def test_sigterm_under_load_answers_what_was_asked_and_exits_with_0(model_folder: Callable[[str], Path]) -> None:
    with server_process(str(model_folder("labels"))) as server:
        clients = Clients(server.port, PATH, TEXTS, count=16)
        time.sleep(0.5)
        assert server.stop() == 0
        result = clients.stop()
    assert result.statuses[200] > 50
    assert result.statuses.keys() <= {200, "refused"}, result.statuses


def test_ctrl_c_stops_it_too(model_folder: Callable[[str], Path]) -> None:
    with server_process(str(model_folder("labels"))) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        server.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_twice_gives_up_what_is_asked(model_folder: Callable[[str], Path], workers: str) -> None:
    with server_process(str(model_folder("labels")), "--workers", workers) as server:
        body = [json.dumps(f"film {index}") + "\n" for index in range(3)]

        def lines() -> Iterator[bytes]:
            for line in body:
                yield line.encode()
            time.sleep(1)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.3)
            server.process.send_signal(signal.SIGINT)
            time.sleep(2)
            yield b'"the end"'

        with httpx.Client(timeout=30) as client, contextlib.suppress(httpx.TransportError):
            headers = {"content-type": "application/x-ndjson"}
            client.post(server.url + PATH, content=lines(), headers=headers)
        assert server.process.wait(30) == 130
        server.stop()
    log = "".join(server.log)
    assert "Traceback" not in log
    assert "Cancelled" not in log


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", ["broken", "onnx/model.onnx", "openvino_model.bin"])
def test_a_model_that_cannot_be_served_ends_the_server_before_it_says_that_it_serves(
    model_folder: Callable[[str], Path], tmp_path: Path, kind: str, workers: str
) -> None:
    copy_model(model_folder("labels"), tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    if kind == "broken":
        weights.write_bytes(b"broken")
    else:
        (tmp_path / "model" / kind).parent.mkdir(exist_ok=True)
        weights.rename(tmp_path / "model" / kind)
        (tmp_path / "model" / kind.replace(".bin", ".xml")).touch()
    arguments = [str(tmp_path / "model"), "--port", "0", "--workers", workers]
    command = [sys.executable, "-m", "distilbert", "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert ("distilbert serve cannot run exports" in done.stderr) == (kind != "broken")
    assert "runner=" not in done.stderr


def test_a_folder_swapped_under_load_changes_the_answers_and_drops_none(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    copy_model(model_folder("labels"), folder)
    other = tmp_path / "other"
    copy_model(make(tmp_path, "multi-label"), other)
    with server_process(f"m={folder}", "--api-key", "k") as server:
        headers = {"x-api-key": "k"}
        before = server.ask(PATH, {"inputs": TEXTS[0]}, **headers).text
        clients = Clients(server.port, PATH, TEXTS[:1], count=8, headers=headers)
        time.sleep(0.3)
        copy_model(other, folder)
        assert server.ask("/v1/models/m/reload", None, **headers).status_code == 200
        after = server.ask(PATH, {"inputs": TEXTS[0]}, **headers).text
        copy_model(model_folder("labels"), folder)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while server.ask(PATH, {"inputs": TEXTS[0]}, **headers).text != before and time.monotonic() < deadline:
            time.sleep(0.02)
        result = clients.stop()
    assert before != after
    assert result.statuses.keys() == {200}, result.statuses
    assert result.answers[TEXTS[0]] <= {json.dumps(json.loads(each), separators=(",", ":")) for each in (before, after)}


@needs_proc
def test_a_process_that_is_killed_is_replaced_and_the_others_go_on(model_folder: Callable[[str], Path]) -> None:
    with server_process(str(model_folder("labels")), "--workers", "2") as server:
        deadline = time.monotonic() + 20
        while "distilbert_ready 2.0" not in httpx.get(f"{server.url}/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        clients = Clients(server.port, PATH, TEXTS, count=16)
        time.sleep(0.3)
        victim = children_of(server.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while len(now := children_of(server.process.pid)) < 2 or victim in now:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(1)
        result = clients.stop()
        assert result.statuses.keys() <= {200, "lost"}, result.statuses
        assert result.statuses["lost"] <= 16, "only what the killed process had"
        answered = sum(result.statuses.values()) - result.statuses["lost"]
        text = httpx.get(f"{server.url}/metrics").text
        counted = float(text.partition(f'requests_total{{route="{PATH}",status="200"}} ')[2].split()[0])
        assert abs(counted - answered) <= 16, "figures are those of both processes, and survive a death"
        assert server.stop() == 0


def test_all_processes_read_a_model_again(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copy_model(model_folder("labels"), folder)
    with server_process(f"m={folder}", "--workers", "2", "--api-key", "k") as server:
        headers = {"x-api-key": "k"}
        time.sleep(1)
        copy_model(make(tmp_path, "multi-label"), folder)
        assert server.ask("/v1/models/m/reload", None, **headers).status_code == 200
        answers = {server.ask(PATH, {"inputs": "a good film"}, **headers).text for _ in range(20)}
        assert len(answers) == 1
        assert json.loads(answers.pop())[0]["label"] in "abcd"


def test_a_model_is_read_again_by_the_processes_that_have_it(model_folder: Callable[[str], Path]) -> None:
    models = [str(model_folder(name)) for name in ("labels", "entities")]
    with server_process(*models, "--workers", "2", "--memory-limit", "100K", "--api-key", "k") as server:
        headers = {"x-api-key": "k"}
        listed = httpx.get(f"{server.url}/v1/models", headers=headers).json()["data"]
        assert [each["loaded"] for each in listed] == [True, False]
        response = httpx.post(f"{server.url}/v1/models/entities/reload", headers=headers, timeout=30)
        assert response.status_code == 200, response.text


STOPPED_EARLY = """
import os, signal, sys
from distilbert.serving.server_settings import ServerSettings
from distilbert.serving.worker_processes import serve

fork = os.fork

def fork_and_stop():
    os.fork = fork
    process = fork()
    if process:
        os.kill(os.getpid(), signal.SIGTERM)
    return process

os.fork = fork_and_stop
settings = ServerSettings.of({"precision": "fp32", "threads": 1})
sys.exit(serve([sys.argv[1]], settings, "127.0.0.1", 0, workers=2))
"""


def test_sigterm_reaches_a_process_that_has_just_been_forked(model_folder: Callable[[str], Path]) -> None:
    command = [sys.executable, "-c", STOPPED_EARLY, str(model_folder("labels"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "another takes its place" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./no-such-folder"], "There is no folder"),
        (["--port", "99999"], "--port must be"),
        (["--workers", "0"], "--workers must be"),
        (["--memory-limit", "much"], "--memory-limit must be a size"),
        (["--cors", "example.com"], "--cors must be an origin"),
        (["--timeout", "0"], "--timeout must be"),
        (["--idle-unload", "-1"], "--idle-unload must be"),
    ],
)
def test_a_command_that_cannot_work_says_why(arguments: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "distilbert", "serve", *arguments], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_named(model_folder: Callable[[str], Path], workers: str) -> None:
    arguments = [str(model_folder("labels")), "--workers", workers]
    with server_process(*arguments) as server:
        command = [sys.executable, "-m", "distilbert", "serve", *arguments, "--port", str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}" in done.stderr
    assert "in use" in done.stderr


def test_no_framework_is_loaded(model_folder: Callable[[str], Path]) -> None:
    code = (
        "import sys, distilbert.serving.http_server, distilbert.serving.worker_processes; "
        "from distilbert.serving import create_app; "
        f"create_app({str(model_folder('labels'))!r}).models.load_at_start(); "
        "print(*{'torch', 'tensorflow', 'keras', 'jax', 'flax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
