"""HTTP around tasks: one server for all of them, with dynamic batches, limits, metrics and a page.

It needs no framework: models are answered by the engine. ``create_app`` gives an ASGI application, ``distilbert serve``
runs it.

The way of a request: ``application`` finds its route and checks the key; ``task_routes`` reads the JSON;
``answering_service`` makes a ``QueuedRequest`` of it; ``admission`` says whether it can be answered in time;
``answering_threads`` tokenizes all requests that wait, in one thread, and runs batches that ``sequence_queue`` fills,
in another. ``tei_routes``, ``openai_routes``, ``rerank_routes``, ``inference_protocol_routes`` and ``hub_routes`` speak
the words of other servers and do nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from .application import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
