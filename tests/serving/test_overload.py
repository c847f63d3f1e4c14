"""Three times what the server can do, for a minute: every request gets its answer or 429, in time, in flat memory."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time

import pytest

from distilbert.core.installed import find_installed
from distilbert.tasks import pipeline

from .server_process import Arrivals, Clients, server_process

MODEL = "distilbert-mini-sst2"
PATH = "/v1/text-classification"
TEXT_WORDS = "a the film story cast plot is was not very dull fine slow warm long and or with of in it that"
TIMEOUT = 2.0  # seconds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
    pytest.mark.skipif(find_installed(MODEL) is None, reason=f"{MODEL} is not installed"),
]


def texts_of(count: int) -> list[str]:
    generator = random.Random(0)
    words = TEXT_WORDS.split()
    return [" ".join(generator.choices(words, k=23)) for _ in range(count)]


def memory(process: int) -> float:
    """Megabytes that a process has in memory."""
    with open(f"/proc/{process}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.timeout(400)
def test_three_times_the_capacity() -> None:
    texts = texts_of(20_000)
    expected = pipeline("text-classification", MODEL, precision="fp32")(texts[:2000])
    with server_process(MODEL) as server:
        arrivals = Arrivals(server.port, PATH, texts, {"x-request-timeout-ms": str(int(1000 * TIMEOUT))})
        single = sorted(arrivals.run(20, 3).seconds)[30]
        clients = Clients(server.port, PATH, texts, 128)
        time.sleep(1)
        before = clients.result.statuses[200]
        time.sleep(4)
        capacity = (clients.result.statuses[200] - before) / 4
        clients.stop()
        sizes: list[float] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1):
                sizes.append(memory(server.process.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        result = arrivals.run(3 * capacity, 60)
        over.set()
        watching.join()
        time.sleep(2)
        after = arrivals.run(20, 2)
    assert result.statuses.keys() <= {200, 429}, result.statuses
    assert sum(result.statuses.values()) == int(3 * capacity * 60)
    assert result.statuses[429] > 0
    assert result.statuses[200] > 0.5 * capacity * 60, "it goes on answering at its speed"
    assert arrivals.percentile(result.seconds, 0.99) < TIMEOUT
    assert max(sizes[30:]) < 1.1 * max(sizes[10:30]), "memory is flat"
    assert after.statuses.keys() == {200}
    assert arrivals.percentile(after.seconds, 0.5) < 3 * single, "it is as before two seconds later"

    for text, answer in zip(texts[:2000], expected, strict=True):
        for body in result.answers.get(text, ()):
            (given,) = json.loads(body)
            assert given["label"] == answer["label"]
            assert abs(given["score"] - answer["score"]) < 1e-5
