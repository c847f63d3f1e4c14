"""Requests whose inputs and parameters have any value: each is answered or refused, and none is an internal error."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

from distilbert.serving.application import Application
from distilbert.serving.served_models import ServedModels
from distilbert.serving.server_settings import ServerSettings
from distilbert.tasks.registry import TASKS
from tests.behaviour.make_models import MODELS, make

REQUESTS = 4000
ATOMS: list[Any] = [
    None,
    True,
    False,
    -5,
    0,
    3,
    600,
    0.0,
    -1.5,
    1e308,
    "",
    "a",
    "é",
    "\0",
    "  ",
    "i [MASK] it",
    "first",
]
KEYS = ["", "a", "text", "text_pair", "question", "context", "choices", "sentences", "truncation", "max_length"]
INPUTS: dict[str, Any] = {
    "question-answering": {"question": "where?", "context": "john lives in paris"},
    "fill-mask": "i [MASK] it",
    "multiple-choice": {"context": "a", "choices": ["b", "c"]},
    "sentence-similarity": {"source_sentence": "a", "sentences": ["b", "c"]},
}
PARAMETERS = {"candidate_labels": ["a", "b"], "top_k": 3, "targets": ["a"], "aggregation_strategy": "simple"}


def any_value(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(3) if depth < 2 else 0
    if kind == 1:
        return [any_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    if kind == 2:
        return {draw.choice(KEYS): any_value(draw, depth + 1) for _ in range(draw.randrange(4))}
    return draw.choice(ATOMS)


def any_body(draw: random.Random, task: str) -> dict[str, Any]:
    """Return the body of a request, of which only some is wrong, so that it gets far."""
    inputs = INPUTS.get(task, "john lives in paris") if draw.random() < 0.6 else any_value(draw)
    parameters = {}
    for parameter in TASKS[task].parameters:
        if draw.random() < 0.2:
            parameters[parameter.name] = any_value(draw)
        elif parameter.name in PARAMETERS and draw.random() < 0.6:
            parameters[parameter.name] = PARAMETERS[parameter.name]
    body = {"inputs": [inputs] * draw.randrange(3) if draw.random() < 0.3 else inputs, "parameters": parameters}
    return body | ({"details": any_value(draw)} if draw.random() < 0.1 else {})


async def status_of(application: Application, path: str, body: bytes) -> int:
    statuses: list[int] = []
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "client": ("127.0.0.1", 1)}
    await application(scope | {"headers": [(b"content-type", b"application/json")]}, receive, send)
    return statuses[0]


def test_no_internal_error(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    draw = random.Random(seed)
    settings = ServerSettings.of({"precision": "fp32", "threads": 1})
    names = [name for name in MODELS if name not in ("nli-first", "multi-label")]
    application = Application(ServedModels([str(make(tmp_path, name)) for name in names], settings), settings)

    async def ask_all() -> None:
        answered = 0
        for _ in range(REQUESTS):
            task = draw.choice(list(TASKS))
            body = any_body(draw, task)
            status = await status_of(application, f"/v1/{task}", json.dumps(body).encode())
            assert status in (200, 400, 413, 422), f"seed {seed}: {status} for {task}: {body}"
            answered += status == 200
        assert answered > REQUESTS // 50, "the requests are too wrong to get far"
        await application.service.stop()

    asyncio.run(ask_all())
