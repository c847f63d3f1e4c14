"""Addresses of models as the inference client of huggingface_hub takes them: ``/models/NAME``, and ``/`` for the first.

Answers have the form that its server gives, which for two tasks is not that of the pipeline.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import RequestError
from ..tasks.registry import ALIASES, TASKS
from .answering_service import AnsweringService, headers_of
from .body_fields import invalid
from .http_exchange import Exchange, Reply, to_json
from .route_table import Route
from .task_routes import answer_inputs, as_inputs
from .tei_routes import embed_body


async def answer_model(service: AnsweringService, exchange: Exchange) -> Reply:
    """Answer with a model what it was made for, or the task that the path names."""
    body = await exchange.json_object()
    if "inputs" not in body:
        raise invalid("The body lacks the field 'inputs': one input, or a list of them.")
    name = exchange.path_values.get("name")
    task = exchange.path_values.get("task", "")
    if task and ALIASES.get(task, task) not in TASKS:
        raise RequestError(f"There is no task {task[:60]!r}; tasks are {', '.join(TASKS)}.", 404, "not_found")
    model = service.find_model("", name)
    given, inputs = body.get("parameters") or {}, body["inputs"]
    if not isinstance(given, dict):
        raise invalid(f"parameters must be an object, got {given!r:.80}.")
    task = ALIASES.get(task, task) or _task_of(inputs, given, model.own_task, model.tasks)
    if task == "feature-extraction":
        return await _embed(service, exchange, model.name, body)
    chosen = await service.choose(task, model.name)
    if task == "text-classification":
        given = {"top_k": None, **given}
    params = service.parameters(chosen.task, given)
    inputs = as_inputs(task, inputs, params)
    request = await answer_inputs(service, exchange, chosen, params, inputs)
    answers = [_in_form_of_hub(task, answer) for answer in request.answers]
    answer = answers if isinstance(inputs, list) or task == "text-classification" else answers[0]
    return Reply(to_json(answer), headers=headers_of(request, chosen.model.name))


def _task_of(inputs: Any, given: dict[str, Any], own_task: str, tasks: list[str]) -> str:
    """Return the task that a request means, which the client of the hub does not say."""
    if isinstance(inputs, dict) and "source_sentence" in inputs:
        return "sentence-similarity"
    if "candidate_labels" in given and "zero-shot-classification" in tasks:
        return "zero-shot-classification"
    return own_task


def _in_form_of_hub(task: str, answer: Any) -> Any:
    if task != "zero-shot-classification":
        return answer
    return [{"label": label, "score": score} for label, score in zip(answer["labels"], answer["scores"], strict=True)]


async def _embed(service: AnsweringService, exchange: Exchange, model: str, body: dict[str, Any]) -> Reply:
    vectors, request, name = await embed_body(service, exchange, body, model)
    return Reply(to_json(vectors), headers=headers_of(request, name))


ROUTES = (
    Route("POST", "/", answer_model, name="/models/{name}"),
    Route("POST", "/models/{name:path}/pipeline/{task}", answer_model, name="/models/{name}"),
    Route("POST", "/pipeline/{task}/{name:path}", answer_model, name="/models/{name}"),
    Route("POST", "/models/{name:path}", answer_model, name="/models/{name}"),
)
