"""``distilbert serve`` as a process of its own, and clients that keep it busy."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


class ServerProcess:
    """A server that runs as a process of its own; ``port`` is where it listens."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "distilbert", "serve", "--port", "0", "--precision", "fp32", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        self.log: list[str] = []
        self.port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + 60
        while not self.port or not self._is_ready():
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers=headers, timeout=60)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.terminate()
        code = self.process.wait(60)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if match := re.search(r"on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(match[1])

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def server_process(*arguments: str) -> Iterator[ServerProcess]:
    server = ServerProcess(*arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


@dataclass
class LoadResult:
    """What the clients saw.

    Attributes:
        statuses: how many answers of each status; ``"refused"``: no connection; ``"lost"``: no answer to a request.
        answers: different bodies of the answers with status 200, for each text.
        seconds: from the scheduled time of each answered request to its answer.
    """

    statuses: Counter[int | str] = field(default_factory=Counter)
    answers: dict[str, set[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


class Clients:
    """Clients in a thread that ask without pause, each on a connection of its own, until :meth:`stop`."""

    def __init__(
        self, port: int, path: str, texts: list[str], count: int, headers: dict[str, str] | None = None
    ) -> None:
        self.result = LoadResult()
        self._port, self._path, self._texts, self._headers = port, path, texts, headers or {}
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(count)))
        self._thread.start()

    def stop(self) -> LoadResult:
        self._is_over = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.result

    async def _run(self, count: int) -> None:
        await asyncio.gather(*(self._ask(index) for index in range(count)))

    async def _ask(self, start: int) -> None:
        streams = None
        number = start
        while not self._is_over:
            text = self._texts[number % len(self._texts)]
            number += 1
            if streams is None:
                try:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    self.result.statuses["refused"] += 1
                    await asyncio.sleep(0.02)
                    continue
            try:
                status, body, is_open = await send(streams, self._path, text, self._headers)
            except (OSError, asyncio.IncompleteReadError):
                self.result.statuses["lost"] += 1
                streams[1].close()
                streams = None
                continue
            self.result.statuses[status] += 1
            if status == 200:
                self.result.answers.setdefault(text, set()).add(body.decode())
            if not is_open:
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()


class Arrivals:
    """Requests that arrive at a rate of their own, whether earlier ones are answered or not: an open loop.

    Times count from when a request was due, so a client that falls behind hides nothing.
    """

    def __init__(self, port: int, path: str, texts: list[str], headers: dict[str, str] | None = None) -> None:
        self._port, self._path, self._texts, self._headers = port, path, texts, headers or {}

    def run(self, rate: float, seconds: float) -> LoadResult:
        """Send ``rate`` requests a second, evenly, and wait for all answers."""
        result = LoadResult()
        asyncio.run(self._run(rate, seconds, result))
        return result

    async def _run(self, rate: float, seconds: float, result: LoadResult) -> None:
        free: list[Any] = []
        start = time.perf_counter()
        waiting: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            due = start + number / rate
            if (delay := due - time.perf_counter()) > 0:
                await asyncio.sleep(delay)
            task = asyncio.ensure_future(self._ask(number, due, free, result))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        while waiting:
            await asyncio.wait(waiting)
        for _, writer in free:
            writer.close()

    async def _ask(self, number: int, due: float, free: list[Any], result: LoadResult) -> None:
        text = self._texts[number % len(self._texts)]
        try:
            streams = free.pop() if free else await asyncio.open_connection("127.0.0.1", self._port)
            status, body, is_open = await send(streams, self._path, text, self._headers)
        except (OSError, asyncio.IncompleteReadError):
            result.statuses["lost"] += 1
            return
        result.statuses[status] += 1
        if status == 200:
            result.seconds.append(time.perf_counter() - due)
            result.answers.setdefault(text, set()).add(body.decode())
        if is_open:
            free.append(streams)
        else:
            streams[1].close()

    @staticmethod
    def percentile(seconds: list[float], share: float) -> float:
        """The time that this share of the requests stayed under."""
        return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)]


async def send(streams: Any, path: str, text: str, headers: dict[str, str]) -> tuple[int, bytes, bool]:
    """Ask on a connection; return status and body of the answer, and whether the connection stays open."""
    reader, writer = streams
    body = json.dumps({"inputs": text}).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    match = re.search(rb"content-length: (\d+)", head)
    assert match is not None, head
    return int(head[9:12]), await reader.readexactly(int(match[1])), b"connection: close" not in head
