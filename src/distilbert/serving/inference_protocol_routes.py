"""The Open Inference Protocol, version 2, that KServe, Triton and Seldon speak.

A model takes the columns of its task as tensors of type ``BYTES``, such as ``text``, or ``question`` and ``context``.
It gives ``answer``, a JSON text for each row; classifiers also give ``label`` and ``score``, encoders ``embedding``.
Tensors may also be bytes behind the JSON, see ``binary_tensors``.
"""

from __future__ import annotations

import math
from typing import Any

from .. import __version__
from ..core.errors import RequestError
from ..tasks.registry import TASKS
from .answering_service import AnsweringService, headers_of
from .binary_tensors import LENGTH_HEADER, choose_outputs, read_body, write_body
from .body_fields import invalid
from .http_exchange import Exchange, Reply, parse_json, to_json
from .route_table import Route
from .server_routes import health, live
from .task_routes import as_inputs

TEXT_TYPES = ("BYTES", "STRING")
MOST_DIMENSIONS = 32  # of a tensor, as in NumPy; the product of many more takes long


async def server_metadata(service: AnsweringService, exchange: Exchange) -> Reply:
    """Say which server this is."""
    return Reply(to_json({"name": "distilbert", "version": __version__, "extensions": ["binary_tensor_data"]}))


async def model_ready(service: AnsweringService, exchange: Exchange) -> Reply:
    """Say whether a model can be asked."""
    model = service.find_model("", exchange.path_values["name"])
    if not service.is_ready or service.is_draining:
        raise RequestError("The server is not ready.", 503, "unhealthy")
    return Reply(to_json({"name": model.name, "ready": True}))


async def model_metadata(service: AnsweringService, exchange: Exchange) -> Reply:
    """Say what a model takes and gives."""
    model = service.find_model("", exchange.path_values["name"])
    outputs = [{"name": "answer", "datatype": "BYTES", "shape": [-1]}]
    if model.own_task == "text-classification":
        outputs += [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
        ]
    elif model.own_task == "feature-extraction":
        outputs = [{"name": "embedding", "datatype": "FP32", "shape": [-1, -1]}]
    form = TASKS[model.own_task].inputs[0]
    return Reply(
        to_json(
            {
                "name": model.name,
                "versions": ["1"],
                "platform": "distilbert",
                "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in form.required or form.names],
                "outputs": outputs,
            }
        )
    )


async def infer(service: AnsweringService, exchange: Exchange) -> Reply:
    """Answer the rows of tensors with a model."""
    body = read_body(await exchange.body(), exchange.headers.get(LENGTH_HEADER))
    model = service.find_model("", exchange.path_values["name"])
    given = dict(body.get("parameters") or {}) if isinstance(body.get("parameters") or {}, dict) else body["parameters"]
    task = given.pop("task", model.own_task) if isinstance(given, dict) else model.own_task
    if isinstance(given, dict):
        given.pop("binary_data_output", None)
    if not isinstance(task, str) or task not in TASKS:
        raise invalid(f"The parameter task must be one of {', '.join(TASKS)}, got {task!r:.60}.")
    chosen = await service.choose(task, model.name)
    if task == "feature-extraction":
        given = {"pooling": "auto"} | (given if isinstance(given, dict) else {})
    params = service.parameters(chosen.task, given)
    as_inputs(task, None, params)
    items = _rows(body.get("inputs"), task)
    places = [f"row {index}" for index in range(len(items))]
    request = await service.answer(exchange, chosen, params, items, places)
    answer: dict[str, Any] = {
        "model_name": model.name,
        "model_version": "1",
    }
    if isinstance(body.get("id"), str):
        answer["id"] = body["id"]
    answer["outputs"], binary = choose_outputs(_outputs(task, request.answers), body)
    content, end = write_body(answer, binary)
    headers = headers_of(request, model.name)
    if end is None:
        return Reply(content, headers=headers)
    return Reply(content, content_type=b"application/octet-stream", headers=[*headers, (LENGTH_HEADER, b"%d" % end)])


def _rows(tensors: Any, task: str) -> list[Any]:
    """Return the inputs of a task in tensors, one a row."""
    if not isinstance(tensors, list) or not tensors:
        raise invalid(f"inputs must be a list of tensors, got {tensors!r:.80}.")
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise invalid(f"A tensor must be an object with name, shape, datatype and data, got {tensor!r:.80}.")
        name, data = tensor["name"], _flat(tensor.get("data"))
        if tensor.get("datatype") not in TEXT_TYPES:
            raise invalid(f"The tensor {name[:60]!r} must have the datatype BYTES, got {tensor.get('datatype')!r:.40}.")
        shape = tensor.get("shape")
        if (
            not isinstance(shape, list)
            or len(shape) > MOST_DIMENSIONS
            or not all(isinstance(n, int) and n >= 0 for n in shape)
        ):
            raise invalid(
                f"The shape of the tensor {name[:60]!r} must be a list of up to {MOST_DIMENSIONS} numbers, got "
                f"{shape!r:.60}."
            )
        if math.prod(shape) != len(data):
            raise invalid(f"The tensor {name[:60]!r} has {len(data)} entries, which do not make the shape {shape}.")
        columns[name] = data
    sizes = {len(data) for data in columns.values()}
    if len(sizes) != 1 or sizes == {0}:
        raise invalid("All tensors must have the same number of rows, one or more.")
    forms = TASKS[task].inputs
    names = set(columns)
    form = next((form for form in forms if set(form.required) <= names <= set(form.names)), None)
    if (
        form is None
        and len(columns) == 1
        and ("text",) in [form.names for form in forms] + [form.required for form in forms]
    ):
        return next(iter(columns.values()))  # clients call a single text what they like
    if form is None:
        expected = " or ".join(", ".join(form.names) for form in forms)
        raise invalid(f"The tensors of {task} are {expected}; got {', '.join(sorted(names))[:120]}.")
    if form.list_column:
        columns[form.list_column] = [_texts_in(value, form.list_column) for value in columns[form.list_column]]
    if tuple(columns) == ("text",):
        return columns["text"]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _texts_in(value: Any, name: str) -> Any:
    """Return the list that stands as JSON in an entry of a tensor, which holds texts only."""

    texts = parse_json(value.encode()) if isinstance(value, str) and value.startswith("[") else value
    if not isinstance(texts, list):
        raise invalid(f'An entry of {name} must be a list of texts in JSON, such as \'["a", "b"]\', got {value!r:.60}.')
    return texts


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        raise invalid(f"data of a tensor must be a list, got {data!r:.80}.")
    flat: list[Any] = []
    for entry in data:
        flat += entry if isinstance(entry, list) else [entry]
    return flat


def _outputs(task: str, answers: list[Any]) -> list[dict[str, Any]]:
    rows = [len(answers)]
    if task == "feature-extraction" and not isinstance(answers[0][0], list):
        shape = [len(answers), len(answers[0])]
        flat = [number for answer in answers for number in answer]
        return [{"name": "embedding", "shape": shape, "datatype": "FP32", "data": flat}]
    outputs = [
        {"name": "answer", "shape": rows, "datatype": "BYTES", "data": [to_json(answer).decode() for answer in answers]}
    ]
    if task == "text-classification" and all(isinstance(answer, dict) for answer in answers):
        outputs += [
            {"name": "label", "shape": rows, "datatype": "BYTES", "data": [answer["label"] for answer in answers]},
            {"name": "score", "shape": rows, "datatype": "FP32", "data": [answer["score"] for answer in answers]},
        ]
    return outputs


ROUTES = (
    Route("GET", "/v2", server_metadata, style="kserve"),
    Route("GET", "/v2/health/live", live, style="kserve", needs_key=False),
    Route("GET", "/v2/health/ready", health, style="kserve", needs_key=False),
    Route("GET", "/v2/models/{name:path}/ready", model_ready, style="kserve", name="/v2/models/{name}/ready"),
    Route("GET", "/v2/models/{name:path}", model_metadata, style="kserve", name="/v2/models/{name}"),
    Route("POST", "/v2/models/{name:path}/infer", infer, style="kserve", name="/v2/models/{name}/infer"),
)
