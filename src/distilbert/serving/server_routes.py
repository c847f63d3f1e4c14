"""Routes about the server itself: is it alive, which models has it, its figures, its description."""

from __future__ import annotations

import time
from typing import Any

from .. import __version__
from ..core.errors import RequestError
from .answering_service import AnsweringService
from .http_exchange import Exchange, Reply, to_json
from .openapi_document import describe_server
from .page import CONTENT_TYPE as PAGE_TYPE
from .page import PAGE, PAGE_HEADERS
from .served_models import ServedModel
from .server_metrics import CONTENT_TYPE


async def page(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return the page on which people try the server."""
    headers = [(name.encode(), value.encode()) for name, value in PAGE_HEADERS.items()]
    return Reply(PAGE, content_type=PAGE_TYPE.encode(), headers=headers)


async def health(service: AnsweringService, exchange: Exchange) -> Reply:
    """Say whether the server is ready: it has answered once, and is not stopping."""
    if service.is_draining:
        raise RequestError("The server is stopping.", 503, "unhealthy")
    if not service.is_ready:
        raise RequestError("The server has not answered its first request yet.", 503, "unhealthy")
    return Reply(b'{"status":"ready"}')


async def live(service: AnsweringService, exchange: Exchange) -> Reply:
    """Say that the server is alive."""
    return Reply(b'{"status":"live"}')


async def metrics(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return all figures, for Prometheus."""
    return Reply(service.metrics.text(), content_type=CONTENT_TYPE.encode())


async def models(service: AnsweringService, exchange: Exchange) -> Reply:
    """List the models, in the form of OpenAI's list."""
    data = [describe_model(model) for model in service.models.by_name.values()]
    return Reply(to_json({"object": "list", "data": data}))


async def one_model(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return what is known of one model."""
    return Reply(to_json(describe_model(service.find_model("", exchange.path_values["name"]))))


async def reload_model(service: AnsweringService, exchange: Exchange) -> Reply:
    """Read a model's folder again."""
    if not service.settings.api_keys:
        raise RequestError(
            "Reloading over HTTP needs a server with a key: start it with --api-key, or send it SIGHUP.",
            403,
            "forbidden",
        )
    model = service.find_model("", exchange.path_values["name"])
    await service.reload_everywhere(model)
    return Reply(to_json(describe_model(model)))


async def openapi(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return the description of the server in OpenAPI 3.1."""
    return Reply(to_json(describe_server(service.route_list, has_keys=bool(service.settings.api_keys))))


def describe_model(model: ServedModel) -> dict[str, Any]:
    """Return what the list of models says about one."""
    loaded = model.loaded
    description: dict[str, Any] = {
        "id": model.name,
        "object": "model",
        "created": int(time.time()) if loaded is None else int(loaded.loaded_at),
        "owned_by": "distilbert",
        "task": model.own_task,
        "tasks": model.tasks,
        "architecture": model.head.architecture,
        "loaded": loaded is not None,
        "max_tokens": model.config.max_position_embeddings,
        "dim": model.config.dim,
        "layers": model.config.n_layers,
        "labels": model.label_names if model.head.name in LABELLED else [],
    }
    if loaded is not None:
        description["precision"] = loaded.precision
    return description


LABELLED = ("ForSequenceClassification", "ForTokenClassification")


async def info(service: AnsweringService, exchange: Exchange) -> Reply:
    """Describe the first model, as text-embeddings-inference does."""
    model = next(iter(service.models.by_name.values()))
    loaded = model.loaded
    kind: dict[str, Any]
    if model.head.name == "ForSequenceClassification":
        kind = {"reranker" if model.can_rerank else "classifier": {"id2label": dict(enumerate(model.label_names))}}
    else:
        kind = {"embedding": {"pooling": model.pooling}}
    settings = service.settings
    return Reply(
        to_json(
            {
                "model_id": model.name,
                "model_sha": None,
                "model_dtype": "" if loaded is None else loaded.precision,
                "model_type": kind,
                "max_concurrent_requests": settings.max_items,
                "max_input_length": model.config.max_position_embeddings,
                "max_batch_tokens": settings.batch_tokens,
                "max_client_batch_size": settings.max_items,
                "auto_truncate": False,
                "tokenization_workers": 1,
                "version": __version__,
            }
        )
    )
