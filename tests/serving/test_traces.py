"""Traces of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

trace = pytest.importorskip("opentelemetry.trace")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
sdk = pytest.importorskip("opentelemetry.sdk.trace")


def test_a_request_is_a_span_below_that_of_its_client(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    with serve("labels") as client:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        client.answer("/v1/text-classification", {"inputs": "a secret text"}, traceparent=parent)
        client.error("/v1/text-classification", {"inputs": ""})
    *steps, request, failed = exporter.get_finished_spans()
    assert [step.name for step in steps] == ["tokenization", "queue", "inference"]
    assert request.name == "POST /v1/text-classification"
    assert f"{request.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert all(step.parent.span_id == request.context.span_id for step in steps)
    assert all(request.start_time <= step.start_time <= step.end_time <= request.end_time for step in steps)
    assert request.attributes["distilbert.model"] == "labels"
    assert request.attributes["http.response.status_code"] == 200
    assert failed.attributes["http.response.status_code"] == 422
    assert "secret" not in f"{request.attributes}"


def test_nothing_is_recorded_where_it_is_not_set_up(serve: Callable[..., Any]) -> None:
    with serve("labels") as client:
        client.answer("/v1/text-classification", {"inputs": "a"})
        assert client.application._trace is None
