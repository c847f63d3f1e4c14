"""The server's own routes: ``POST /v1/{task}``, which answers what ``pipeline`` answers; also as lines of JSON."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.datastructures import QueryParams

from ..core.errors import RequestError, suggest
from .answering_service import AnsweringService, ChosenTask, headers_of
from .http_exchange import CLIENT_GONE, NDJSON, Exchange, Reply, client_gone, parse_json, to_json
from .queued_requests import QueuedRequest
from .sequence_queue import EXPIRED

FIELDS = ("inputs", "parameters", "model", "details")
LINES_TOGETHER = 128  # of a stream that are answered as one request
CHARACTERS_TOGETHER = 50_000
STREAMED_AHEAD = 2  # such requests that are on their way at a time
RETRY_AFTER = 0.05  # seconds in which a stream waits for room in the queue
ONE_PLACE = ["The input"]


async def answer_task(service: AnsweringService, task_name: str, exchange: Exchange) -> Reply:
    """Answer one input or a list of them, as ``pipeline`` does."""
    if exchange.sends_lines:
        return await answer_lines(service, task_name, exchange)
    body = await exchange.json_object()
    for name in body:
        if name not in FIELDS:
            raise RequestError(
                f"The body has an unknown field {name[:100]!r}; expected are {', '.join(FIELDS)}."
                f"{suggest(name[:100], FIELDS)}",
                422,
                "validation",
            )
    if "inputs" not in body:
        raise RequestError("The body lacks the field 'inputs': one input, or a list of them.", 422, "validation")
    chosen = await service.choose(task_name, body.get("model"))
    given = body.get("parameters")
    params = service.parameters(chosen.task, given)
    inputs = as_inputs(chosen.task.task, body["inputs"], params)
    if isinstance(inputs, list) and exchange.wants_lines:
        source = _in_groups(inputs)
        return Reply(answer_groups(service, exchange, chosen, params, source), 200, NDJSON)
    request = await answer_inputs(service, exchange, chosen, params, inputs)
    answer = request.answers if isinstance(inputs, list) else request.answers[0]
    if not isinstance(inputs, list):
        answer = chosen.task.single_answer(inputs, answer, given or {})
    if body.get("details"):
        answer = {
            "answers": answer,
            "model": chosen.model.name,
            "windows": request.windows,
            "tokens": request.tokens_of_inputs,
        }
    return Reply(to_json(answer), headers=headers_of(request, chosen.model.name))


async def answer_inputs(
    service: AnsweringService, exchange: Exchange, chosen: ChosenTask, params: Any, inputs: Any
) -> QueuedRequest:
    """Answer one input or a list of them, and return the request with its answers."""
    if not isinstance(inputs, list):
        return await service.answer(exchange, chosen, params, [inputs], ONE_PLACE)
    if not inputs:
        raise RequestError("inputs is an empty list; give at least one input.", 422, "validation")
    places = [f"inputs[{index}]" for index in range(len(inputs))]
    return await service.answer(exchange, chosen, params, inputs, places)


def as_inputs(task: str, inputs: Any, params: Any) -> Any:
    """Return the inputs as the task's own call would take them: one, or a list.

    Raises:
        RequestError: a parameter is missing without which the task cannot answer.
    """
    if task == "zero-shot-classification" and params.candidate_labels is None:
        raise RequestError(
            "zero-shot-classification needs the parameter candidate_labels, such as ['sports', 'politics'].",
            422,
            "validation",
        )
    are_words = task == "token-classification" and params.is_split_into_words and isinstance(inputs, list)
    return [inputs] if are_words and inputs and all(isinstance(word, str) for word in inputs) else inputs


# Lines ----------------------------------------------------------------------------------------------------------------


async def answer_lines(service: AnsweringService, task_name: str, exchange: Exchange) -> Reply:
    """Answer lines of JSON, each an input, with a line each, while they come; ``distilbert run`` over HTTP.

    The query says what the body of other requests says: ``?model=NAME&parameters={...}``. A line that cannot be
    answered gives ``{"error": ...}``. A client that does not read its answers is not read from either.
    """
    query = QueryParams(exchange.scope["query_string"])
    for name in query:
        if name not in ("model", "parameters"):
            raise RequestError(f"The query has an unknown field {name[:100]!r}; expected are model, parameters.", 422,
                               "validation")  # fmt: skip
    chosen = await service.choose(task_name, query.get("model"))
    given = parse_json(query["parameters"].encode()) if "parameters" in query else None
    params = service.parameters(chosen.task, given)
    as_inputs(chosen.task.task, None, params)
    lines = _read_lines(exchange, service.settings.max_body)
    return Reply(answer_groups(service, exchange, chosen, params, lines), 200, NDJSON)


async def answer_groups(
    service: AnsweringService,
    exchange: Exchange,
    chosen: ChosenTask,
    params: Any,
    groups: AsyncIterator[list[Any]],
) -> AsyncIterator[bytes]:
    """Yield the answers of groups of inputs as lines of JSON, in order; a few groups are on their way at a time."""
    first = 0
    on_their_way: deque[asyncio.Task[bytes]] = deque()
    try:
        async for group in groups:
            on_their_way.append(asyncio.ensure_future(_answer_group(service, exchange, chosen, params, group, first)))
            first += len(group)
            if len(on_their_way) >= STREAMED_AHEAD:
                yield await on_their_way.popleft()
        while on_their_way:
            yield await on_their_way.popleft()
    except RequestError as error:  # the body stopped in its middle; its status was sent long ago
        if error.status == CLIENT_GONE:
            raise
        while on_their_way:
            yield await on_their_way.popleft()
        yield _error_line(error)
    finally:
        for task in on_their_way:
            task.cancel()


async def _answer_group(
    service: AnsweringService, exchange: Exchange, chosen: ChosenTask, params: Any, group: list[Any], first: int
) -> bytes:
    """Answer some inputs; if one of them cannot be, each alone."""
    places = [f"inputs[{index}]" for index in range(first, first + len(group))]
    values = [(item, place) for item, place in zip(group, places, strict=True) if not isinstance(item, RequestError)]
    try:
        answers = iter(await _answer_when_possible(service, exchange, chosen, params, values) if values else [])
    except RequestError as error:
        takes_too_long = error.status == 429 and error.retry_after is None  # together; each alone may be short enough
        if error.status not in (413, 422) and not takes_too_long:
            return b"".join(_error_line(error) for _ in group)
        if len(group) == 1:
            return _error_line(error)
        lines = [
            await _answer_group(service, exchange, chosen, params, [item], index)
            for index, item in enumerate(group, first)
        ]
        return b"".join(lines)
    return b"".join(
        _error_line(item) if isinstance(item, RequestError) else to_json(next(answers)) + b"\n" for item in group
    )


async def _answer_when_possible(
    service: AnsweringService, exchange: Exchange, chosen: ChosenTask, params: Any, values: list[tuple[Any, str]]
) -> list[Any]:
    """Answer inputs as soon as there is room for them: a stream waits until its deadline instead of being refused."""
    items, places = [item for item, _ in values], [place for _, place in values]
    request = service.make_request(exchange, chosen, params, items, places)
    allowed = request.deadline - request.arrived
    request.arrived = time.perf_counter()
    request.deadline = request.arrived + allowed
    for tries in itertools.count():
        if exchange.is_gone:
            raise client_gone()
        refused = service.admission.refuse(request)
        if refused is None:
            break
        if refused.retry_after is None:  # it takes longer than is left, and waiting leaves less
            raise (EXPIRED if tries else refused).as_error()
        service.watch(exchange)
        await asyncio.sleep(RETRY_AFTER)
    await service.run(exchange, chosen, request)
    if request.error is not None:
        raise request.error.as_error()
    return request.answers


async def _in_groups(inputs: Iterable[Any]) -> AsyncIterator[list[Any]]:
    group: list[Any] = []
    for item in inputs:
        group.append(item)
        if len(group) == LINES_TOGETHER:
            yield group
            group = []
    if group:
        yield group


async def _read_lines(exchange: Exchange, longest: int) -> AsyncIterator[list[Any]]:
    """Yield the values of the lines that have come, in groups; one that is empty or no JSON is its error."""
    rest = b""
    async for chunk in exchange.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > longest:
            raise RequestError(f"A line is longer than {longest:,} bytes.", 413, "validation")
        for group in _grouped(lines):
            yield group
    if rest:
        yield [_value(rest)]


def _grouped(lines: list[bytes]) -> Iterable[list[Any]]:
    group: list[Any] = []
    size = 0
    for line in lines:
        group.append(_value(line))
        size += len(line)
        if len(group) == LINES_TOGETHER or size > CHARACTERS_TOGETHER:
            yield group
            group, size = [], 0
    if group:
        yield group


def _value(line: bytes) -> Any:
    if not line.strip():
        return RequestError("The line is empty; it must be an input as JSON.", 422, "validation")
    try:
        value = parse_json(line)
    except RequestError as error:
        return error
    return value["inputs"] if isinstance(value, dict) and value.keys() == {"inputs"} else value


def _error_line(error: RequestError) -> bytes:
    return to_json({"error": str(error), "error_type": error.kind}) + b"\n"


def task_handler(task_name: str) -> Any:
    """Return the handler of a task's route."""

    async def handle(service: AnsweringService, exchange: Exchange) -> Reply:
        return await answer_task(service, task_name, exchange)

    return handle
