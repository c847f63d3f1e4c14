"""The description of the server in OpenAPI, generated from what each task says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .. import __version__
from ..tasks.registry import TASKS
from ..tasks.task_spec import InputForm, Parameter, TaskSpec
from .facade_schemas import FACADE_SCHEMAS
from .route_table import Route

JSON_TYPES: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "None": {"type": "null"},
    "Sequence[str]": {"type": "array", "items": {"type": "string"}},
    "Mapping[str, Any]": {"type": "object"},
}
NOT_OVER_HTTP = ("return_tensors",)
STATUSES = {
    400: "The body is not JSON, or a header is wrong.",
    401: "A key is needed: Authorization: Bearer KEY.",
    413: "The body, a text or the list of inputs is too long.",
    415: "The body is compressed; no Content-Encoding is taken.",
    422: "An input or a parameter cannot be used; the message names it.",
    424: "No model of the server can do this.",
    429: "The server is busy; Retry-After says when to try again. Without it, the request alone takes too long.",
    503: "The server, or the model, is not ready.",
}


def describe_server(routes: Iterable[Route], has_keys: bool) -> dict[str, Any]:
    """Return the description.

    Args:
        routes: of the server.
        has_keys: whether it asks for a key.
    """
    paths: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r":path", "", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, has_keys)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "distilbert serve",
            "version": __version__,
            "description": "All tasks of an encoder over HTTP.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error", "error_type"],
                    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
                },
                **{f"{_class_name(spec)}Parameters": parameters_schema(spec) for spec in TASKS.values()},
                **{f"{_class_name(spec)}Input": input_schema(spec) for spec in TASKS.values()},
            }
        },
    }
    if has_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _operation(route: Route, has_keys: bool) -> dict[str, Any]:
    summary = (
        (route.handler.__doc__ or "").strip().splitlines()[0]
        if not route.task
        else (f"{TASKS[route.task].name}: {TASKS[route.task].question}")
    )
    name = re.sub(r"[^a-z0-9]+", "_", f"{route.method.lower()}{route.path}".lower()).strip("_")
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "tags": [route.style]}
    places = re.findall(r"{(\w+)(?::path)?}", route.path)
    parameters = [
        {"name": place, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for place in places
    ]
    failures = {503} if route.method == "GET" else set(STATUSES)
    if places:
        failures |= {404}
    if route.method == "POST":
        parameters += [
            {
                "name": "x-request-timeout-ms", "in": "header", "required": False,
                "description": "Milliseconds in which the answer must be there.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
            },
            {
                "name": "x-request-priority", "in": "header", "required": False,
                "description": "Of two requests with one deadline, the higher goes first.",
                "schema": {"type": "integer", "minimum": -10, "maximum": 10},
            },
        ]  # fmt: skip
        failures |= {404, 408}
        schema = task_body(TASKS[route.task]) if route.task else FACADE_SCHEMAS.get(route.label)
        if schema is not None:
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
            if route.task:
                operation["requestBody"]["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
        if route.path.endswith("/reload"):
            failures |= {403}
    if parameters:
        operation["parameters"] = parameters
    if not route.needs_key:
        failures -= {401}
    elif has_keys:
        operation["security"] = [{"key": []}]
        failures |= {401}
    else:
        failures -= {401}
    answers: dict[str, Any] = {"200": {"description": "The answer.", "content": _content(route)}}
    for status in sorted(failures):
        text = STATUSES.get(status, {403: "The server has no key.", 404: "There is no such model.",
                                     408: "The body did not come in time."}.get(status, ""))  # fmt: skip
        answers[str(status)] = {"description": text, "content": {"application/json": {"schema": _error_schema(route)}}}
        if status == 429:
            answers["429"]["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    operation["responses"] = answers
    return operation


def _content(route: Route) -> dict[str, Any]:
    if route.path == "/metrics":
        return {"text/plain": {"schema": {"type": "string"}}}
    if route.path == "/":
        return {"text/html": {"schema": {"type": "string"}}} if route.method == "GET" else {"application/json": {}}
    content: dict[str, Any] = {"application/json": {}}
    if route.task:
        content["application/x-ndjson"] = {"schema": {"type": "string"}}
    return content


def _error_schema(route: Route) -> dict[str, Any]:
    if route.style == "openai":
        return {"type": "object", "required": ["error"], "properties": {"error": {"type": "object"}}}
    if route.style == "cohere":
        return {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
    if route.style == "kserve":
        return {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {"$ref": "#/components/schemas/Error"}


def task_body(spec: TaskSpec) -> dict[str, Any]:
    """Return the schema of the body of a task's route."""
    name = _class_name(spec)
    of_input = {"$ref": f"#/components/schemas/{name}Input"}
    return {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": {
                "anyOf": [of_input, {"type": "array", "items": of_input, "minItems": 1}],
                "description": "One input, which has one answer, or a list of them, which has a list.",
            },
            "parameters": {"$ref": f"#/components/schemas/{name}Parameters"},
            "model": {"type": "string", "description": "Name of a model; default: the first that can do the task."},
            "details": {
                "type": "boolean",
                "description": "Answer with an object that also has the model, and tokens and windows of each input.",
            },
        },
        "example": {"inputs": spec.example.input}
        | ({"parameters": dict(spec.example.parameters)} if spec.example.parameters else {}),
    }


def input_schema(spec: TaskSpec) -> dict[str, Any]:
    """Return the schema of one input of a task."""
    forms = [_form_schema(form) for form in spec.inputs]
    if any(form.required == ("text",) or form.names == ("text",) for form in spec.inputs):
        forms.insert(0, {"type": "string", "minLength": 1})
    if len(forms) == 1:
        return forms[0]
    return {"anyOf": [form for form in forms if form]}


def _form_schema(form: InputForm) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    if form.names == ("text",):
        return text
    properties: dict[str, Any] = {
        column.name: {"type": "array", "items": text, "minItems": 1} if column.is_list else text
        for column in form.columns
    }
    schema: dict[str, Any] = {
        "type": "object",
        "required": list(form.required),
        "properties": properties,
        "additionalProperties": False,
    }
    if form.at_least_one_of:
        schema["anyOf"] = [{"required": [name]} for name in form.at_least_one_of]
    return schema


def parameters_schema(spec: TaskSpec) -> dict[str, Any]:
    """Return the schema of the parameters of a task."""
    texts = _attribute_texts(spec.parameters_class.__doc__ or "")
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            parameter.name: _parameter_schema(parameter, texts.get(parameter.name, ""))
            for parameter in spec.parameters
            if parameter.name not in NOT_OVER_HTTP
        },
    }


def _parameter_schema(parameter: Parameter, text: str) -> dict[str, Any]:
    types = [JSON_TYPES[name] for name in re.split(r" \| ", parameter.type) if name in JSON_TYPES]
    if parameter.choices:
        types = [{**each, "enum": list(parameter.choices)} if each["type"] == "string" else each for each in types]
    schema: dict[str, Any] = dict(types[0]) if len(types) == 1 else {"anyOf": types}
    if text:
        schema["description"] = text
    if parameter.default is None or isinstance(parameter.default, (bool, int, float, str)):
        schema["default"] = parameter.default
    return schema


def _attribute_texts(docstring: str) -> dict[str, str]:
    """Return what a docstring says of each attribute."""
    texts: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Attributes:")[2].splitlines():
        match = re.match(r" {4,8}(\w+): (.*)", line)
        if match and len(line) - len(line.lstrip()) <= 8:
            name = match[1]
            texts[name] = match[2].strip()
        elif name and line.strip():
            texts[name] += " " + line.strip()
    return {name: text.replace("``", "`") for name, text in texts.items()}


def _class_name(spec: TaskSpec) -> str:
    return "".join(word.capitalize() for word in spec.name.split("-"))
