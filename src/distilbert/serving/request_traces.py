"""Traces of OpenTelemetry, where that is installed and set up, as ``opentelemetry-instrument distilbert serve`` does.

A request is a span, below the span of its client if that sends ``traceparent``; tokenizing, waiting and computing are
spans below it. Nothing of a text is in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from .http_exchange import Exchange

Trace: TypeAlias = Callable[[Exchange, str, int], None]
NANOSECONDS = 1_000_000_000


def open_traces() -> Trace | None:
    """Return what records a request, its route and its status; None where OpenTelemetry is not there or not set up."""
    try:
        from opentelemetry import propagate, trace
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    tracer = trace.get_tracer("distilbert.serving")

    def record(exchange: Exchange, route: str, status: int) -> None:
        offset = time.time_ns() - int(time.perf_counter() * NANOSECONDS)
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
        span = tracer.start_span(
            f"{exchange.scope['method']} {route}",
            context=propagate.extract(carrier),
            kind=trace.SpanKind.SERVER,
            start_time=_at(exchange.arrived, offset),
            attributes={
                "http.request.method": exchange.scope["method"],
                "http.route": route,
                "http.response.status_code": status,
                "distilbert.model": exchange.model,
                "distilbert.inputs": exchange.inputs,
                "distilbert.tokens": exchange.tokens,
            },
        )
        if status >= 500:
            span.set_status(trace.StatusCode.ERROR)
        inside = trace.set_span_in_context(span)
        for name, start, end in exchange.steps:
            tracer.start_span(name, context=inside, start_time=_at(start, offset)).end(_at(end, offset))
        span.end()

    return record


def _at(seconds: float, offset: int) -> Any:
    return int(seconds * NANOSECONDS) + offset
