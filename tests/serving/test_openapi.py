"""The description of the server: valid, complete, and true of every task."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from distilbert.serving.application import all_routes
from distilbert.serving.openapi_document import describe_server
from distilbert.tasks.registry import TASKS

from .conftest import RunningServer


@pytest.mark.parametrize("has_keys", [False, True])
def test_the_description_is_valid(has_keys: bool) -> None:
    validate(describe_server(all_routes(), has_keys))


def test_every_route_is_described(served: RunningServer) -> None:
    document = served.get("/openapi.json").json()
    for route in all_routes():
        operation = document["paths"][route.path.replace(":path", "")][route.method.lower()]
        assert operation["summary"], route.path
        if route.method == "POST" and not route.path.endswith("/reload"):
            assert operation["requestBody"]["content"]["application/json"]["schema"], route.path


@pytest.mark.parametrize("task", list(TASKS))
def test_every_parameter_of_a_task_is_described_but_those_of_python(served: RunningServer, task: str) -> None:
    schemas = served.get("/openapi.json").json()["components"]["schemas"]
    name = "".join(word.capitalize() for word in task.split("-"))
    properties = schemas[f"{name}Parameters"]["properties"]
    assert list(properties) == [each.name for each in TASKS[task].parameters if each.name != "return_tensors"]
    for parameter, schema in properties.items():
        assert schema["description"], parameter
        assert "type" in schema or schema["anyOf"], parameter
    for each in TASKS[task].parameters:
        forms = properties.get(each.name, {}).get("anyOf", [properties.get(each.name, {})])
        assert [form["enum"] for form in forms if "enum" in form] == [list(each.choices)] * bool(each.choices)


def test_the_examples_work(served: RunningServer) -> None:
    document = served.get("/openapi.json").json()
    for task in TASKS:
        body = document["paths"][f"/v1/{task}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        served.answer(f"/v1/{task}", body["example"])


def test_a_description_of_a_server_with_keys_says_so() -> None:
    document: dict[str, Any] = describe_server(all_routes(), has_keys=True)
    assert document["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/health"]["get"]
