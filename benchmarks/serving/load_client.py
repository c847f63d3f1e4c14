"""A process that sends requests and takes times: as fast as answers come, or at a given rate whatever happens.

At a given rate (open loop) the arrivals are a Poisson process, drawn before the start. A latency is counted from the
time when a request was due, also where it had to wait for a connection. So a server that stalls is not spared the
requests that would have come meanwhile.

The parent writes one JSON object for each run to the standard input and reads one from the standard output.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import threading
import time
from collections import Counter, deque
from typing import Any

STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 40.0  # seconds after the last request in which answers may still come
WORST_KEPT = 20


class Connection(asyncio.Protocol):
    """A connection that is kept open; it sends one request at a time."""

    def __init__(self, run: Run) -> None:
        self.run, self.buffer, self.due, self.number = run, b"", 0.0, 0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.Protocol`."""
        self.transport = transport

    def send(self, number: int, due: float) -> None:
        """Send a request that was due at a time."""
        self.number, self.due = number, due
        self.transport.write(self.run.requests[number])

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        now = time.perf_counter()
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[: end + 2]
        status, length = STATUS.match(head), LENGTH.search(head)
        assert status is not None
        assert length is not None, "an answer without a length"
        if len(self.buffer) < end + 4 + int(length[1]):
            return
        body, self.buffer = self.buffer[end + 4 :], b""
        self.run.answered(self, int(status[1]), body, now)

    def connection_lost(self, error: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        self.run.lost(self)


class Run:
    """One run: the requests, what came back, and when.

    Args:
        order: what the parent asks for; see :func:`main`.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        host = f"127.0.0.1:{order['port']}"
        more = "".join(f"{name}: {value}\r\n" for name, value in order.get("headers", {}).items())
        self.requests = [
            f"POST {order['path']} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{more}"
            f"content-length: {len(body.encode())}\r\n\r\n{body}".encode()
            for body in order["bodies"]
        ]
        self.expected: list[str] | None = order.get("expected")
        self.idle: deque[Connection] = deque()
        self.waiting: deque[tuple[int, float]] = deque()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.wrong, self.lost_count, self.sent, self.open = 0, 0, 0, 0
        self.generator = random.Random(order.get("seed", 0))
        self.in_turn = 0

    async def run(self) -> dict[str, Any]:
        """Send, and return what was measured."""
        loop = asyncio.get_running_loop()
        self.connections = [
            (await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.order["port"]))[1]
            for _ in range(self.order["connections"])
        ]
        self.idle.extend(self.connections)
        cpu, start = time.process_time(), time.perf_counter()
        self.end = start + self.order["seconds"]
        if self.order.get("rate"):
            await self._at_a_rate(loop, start)
        else:
            for connection in list(self.connections):
                self._send_next(connection, time.perf_counter())
            await asyncio.sleep(self.order["seconds"])
        sent_for = time.perf_counter() - start
        patience = time.perf_counter() + PATIENCE
        while self.open + len(self.waiting) and time.perf_counter() < patience:
            await asyncio.sleep(0.005)
        for connection in self.connections:
            connection.transport.close()
        await asyncio.sleep(0)  # so that they are closed
        latencies = sorted(self.latencies)
        return {
            "sent": self.sent,
            "statuses": dict(self.statuses),
            "unanswered": self.open + len(self.waiting),
            "lost": self.lost_count,
            "wrong": self.wrong,
            "seconds": sent_for,
            "drained_in": time.perf_counter() - start - sent_for,
            "client_cpu": time.process_time() - cpu,
            "latency_ms": {
                name: percentile(latencies, share)
                for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))
            },
        }

    async def _at_a_rate(self, loop: asyncio.AbstractEventLoop, start: float) -> None:
        """Send when requests are due. A thread waits for the time, since the event loop counts in milliseconds."""
        due, times = start, []
        while due < self.end:
            due += self.generator.expovariate(self.order["rate"])
            times.append(due)
        done = loop.create_future()

        def arrive(due: float) -> None:
            number = self._next_number()
            if self.idle:
                self._send(self.idle.popleft(), number, due)
            else:
                self.waiting.append((number, due))

        def wait() -> None:
            for due in times:
                remaining = due - time.perf_counter()
                if remaining > 0:
                    time.sleep(remaining)
                loop.call_soon_threadsafe(arrive, due)
            loop.call_soon_threadsafe(done.set_result, None)

        thread = threading.Thread(target=wait)
        thread.start()
        await done
        thread.join()

    def _next_number(self) -> int:
        self.in_turn = (self.in_turn + 1) % len(self.requests)
        return self.in_turn

    def _send(self, connection: Connection, number: int, due: float) -> None:
        self.sent += 1
        self.open += 1
        connection.send(number, due)

    def _send_next(self, connection: Connection, now: float) -> None:
        if self.waiting:
            number, due = self.waiting.popleft()
            self._send(connection, number, due)
        elif not self.order.get("rate") and now < self.end:
            self._send(connection, self._next_number(), now)
        else:
            self.idle.append(connection)

    def answered(self, connection: Connection, status: int, body: bytes, now: float) -> None:
        """Take an answer into account, and send the next request on its connection."""
        self.open -= 1
        self.statuses[status] += 1
        if status == 200:
            self.latencies.append(now - connection.due)
            if self.expected is not None and not self._is_right(connection.number, body):
                self.wrong += 1
        self._send_next(connection, now)

    def _is_right(self, number: int, body: bytes) -> bool:
        expected: Any = self.expected
        answer = json.loads(body)
        answer = answer[0] if isinstance(answer, list) else answer
        label, score = expected[number]
        return bool(answer["label"] == label and abs(answer["score"] - score) < 1e-4)

    def lost(self, connection: Connection) -> None:
        """Count a request whose connection was closed."""
        if connection not in self.idle and self.open and time.perf_counter() < self.end:
            self.lost_count += 1
            self.open -= 1


def percentile(values: list[float], share: float) -> float | None:
    """Return a percentile of sorted seconds, in milliseconds; None of nothing."""
    if not values:
        return None
    return round(1000 * values[min(len(values) - 1, int(share * len(values)))], 3)


def main() -> None:
    """Run what the lines of the standard input ask for: port, path, bodies, connections, seconds, rate (0: closed)."""
    for line in sys.stdin:
        result = asyncio.run(Run(json.loads(line)).run())
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
