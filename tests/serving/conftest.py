"""A server in a thread, on the tiny models of ``tests/behaviour``."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import pytest

from distilbert.serving.application import Application
from distilbert.serving.http_server import make_server, open_listener
from distilbert.serving.served_models import ServedModels
from distilbert.serving.server_settings import ServerSettings
from tests.behaviour.make_models import MODELS, make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tiny")

    @cache
    def folder(name: str) -> Path:
        return make(root, name)

    return folder


class TokenizedRequests(SimpleQueue[Any]):
    """The queue from the tokenizing thread to the engine's, which counts the requests that went in."""

    count = 0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self.count += len(item or ())


class RunningServer(httpx.Client):
    """A client of a server that runs in a thread, and the application behind it."""

    application: Application

    @contextmanager
    def together(self, requests: int) -> Iterator[None]:
        """Compute nothing until the short requests of this block, so many, are all tokenized and wait together."""
        threads = self.application.service._threads
        begun, held = threading.Event(), threading.Event()
        threads.run_in_engine(lambda: (begun.set(), held.wait(30)))
        assert begun.wait(30)
        threads._encoded = tokenized = TokenizedRequests()  # the engine's thread waits in no queue now
        try:
            yield
            while tokenized.count < requests:
                time.sleep(0.005)
        finally:
            held.set()

    def answer(self, path: str, body: Any, **headers: str) -> Any:
        """The JSON of an answer with status 200."""
        response = self.post(path, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert response.status_code == 200, response.text
        return response.json()

    def error(self, path: str, body: Any = None, status: int = 422, **options: Any) -> str:
        """The text of an error."""
        response = self.post(path, **({"json": body} if body is not None else {}) | options)
        assert response.status_code == status, (response.status_code, response.text)
        value = response.json()
        return str(value.get("error") or value.get("message"))


@contextmanager
def running(models: list[str], **settings: Any) -> Iterator[RunningServer]:
    checked = ServerSettings.of({"precision": "fp32", "threads": 1} | settings)
    application = Application(ServedModels(models, checked), checked)
    listener = open_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_server(application)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    client = RunningServer(base_url=f"http://127.0.0.1:{port}", timeout=60)
    client.application = application
    try:
        yield client
    finally:
        client.close()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def served(model_folder: Callable[[str], Path]) -> Iterator[RunningServer]:
    """A server of all tiny models."""
    with running([str(model_folder(name)) for name in MODELS]) as client:
        yield client


@pytest.fixture(scope="session")
def serve(model_folder: Callable[[str], Path]) -> Callable[..., Any]:
    """Start a server of tiny models, by their names."""

    def start(*names: str, **settings: Any) -> Any:
        return running([str(model_folder(name)) for name in names], **settings)

    return start
