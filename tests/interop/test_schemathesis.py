"""Schemathesis against the server's own description: no request that it makes up breaks a promise of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from distilbert.serving.application import Application
from distilbert.serving.http_server import make_server, open_listener
from distilbert.serving.openapi_document import describe_server
from distilbert.serving.served_models import ServedModels
from distilbert.serving.server_settings import ServerSettings
from tests.behaviour.make_models import MODELS, make

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.checks")
MOST = 20  # requests to a route
NAMES = [name for name in MODELS if name not in ("nli-first", "multi-label")]
from distilbert.serving.application import all_routes  # noqa: E402

DOCUMENT = describe_server(all_routes(), has_keys=False)
CONFIG = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})  # which takes minutes to prepare
schema = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("tiny")
    checked = ServerSettings.of({"precision": "fp32", "threads": 1})
    application = Application(ServedModels([str(make(root, name)) for name in NAMES], checked), checked)
    listener = open_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = make_server(application)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@pytest.mark.filterwarnings("ignore:Skipped test cases with unsupported payload")  # lines of JSON
@schema.parametrize()
@settings(max_examples=MOST, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_what_its_description_promises(case: schemathesis.Case, url: str) -> None:
    response = case.call(base_url=url, timeout=30)
    case.validate_response(
        response,
        checks=[
            checks.not_a_server_error,
            schemathesis.specs.openapi.checks.status_code_conformance,
            schemathesis.specs.openapi.checks.content_type_conformance,
            schemathesis.specs.openapi.checks.response_schema_conformance,
        ],
    )


def test_all_models_are_there_after_it(url: str) -> None:
    import urllib.request

    with urllib.request.urlopen(f"{url}/health") as response:
        assert response.status == 200
    assert Path(__file__).exists()
