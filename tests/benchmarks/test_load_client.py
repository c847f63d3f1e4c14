"""The client of the benchmark of the server is honest: it counts from the time when a request was due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from benchmarks.serving.load_client import Run, percentile

ANSWER = b'[{"label":"joy","score":0.5}]'
Answer = Callable[[int], Awaitable[bytes]]


def run_against(answer: Answer, **order: Any) -> dict[str, Any]:
    """Send requests to a server that answers the n-th one as it is told."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                count += 1
                writer.write(await answer(count))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> dict[str, Any]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        run = Run({"port": port, "path": "/predict", "bodies": ['{"inputs": "é"}', "{}"], **order})
        result = await run.run()
        server.close()
        await asyncio.sleep(0.05)  # so that its side of the connections ends too
        return result

    return asyncio.run(main())


def reply(status: int = 200, body: bytes = ANSWER) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def at_once(number: int) -> bytes:
    return reply()


def test_a_server_that_stalls_is_not_spared() -> None:
    """With one connection, all requests that are due in half a second wait behind the one that stalls."""

    async def stall(number: int) -> bytes:
        if number == 20:
            await asyncio.sleep(0.5)
        return reply()

    result = run_against(stall, connections=1, seconds=1.0, rate=200)
    assert result["statuses"] == {200: result["sent"]}
    assert 140 < result["sent"] < 270
    late = result["latency_ms"]
    assert late["max"] > 450
    assert late["p90"] > 100  # of a client that waits before it sends again, one request in 200 would be late


def test_as_fast_as_answers_come() -> None:
    result = run_against(at_once, connections=4, seconds=0.3)
    assert result["statuses"][200] == result["sent"] > 20
    assert result["unanswered"] == result["lost"] == result["wrong"] == 0
    assert result["drained_in"] < 0.2


def test_refusals_and_wrong_answers_are_counted() -> None:
    async def every_other(number: int) -> bytes:
        return reply() if number % 2 else reply(429, b"{}")

    expected = [["joy", 0.5], ["fear", 0.5]]
    result = run_against(every_other, connections=1, seconds=0.2, expected=expected)
    assert result["statuses"][200] == pytest.approx(result["statuses"][429], abs=1)
    assert result["wrong"] == result["statuses"][200] or result["wrong"] == 0  # all go to the same text
    assert run_against(at_once, connections=1, seconds=0.2, expected=expected)["wrong"] > 0


def test_percentiles() -> None:
    values = [number / 1000 for number in range(1, 1001)]
    assert percentile(values, 0.5) == 501
    assert percentile(values, 0.999) == 1000
    assert percentile(values, 1.0) == 1000
    assert percentile([], 0.5) is None
