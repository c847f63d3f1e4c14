"""Texts in the order in which they fit a query, in the words of Cohere and of Jina; TEI's are in ``tei_routes``.

A model with one output scores pairs of query and text. Where there is none, a bare encoder compares their vectors.
"""

from __future__ import annotations

import uuid
from typing import Any

from ..core.errors import RequestError
from .answering_service import AnsweringService
from .body_fields import count_field, flag_field, text_field, texts_field
from .http_exchange import Exchange, Reply, to_json
from .queued_requests import QueuedRequest
from .route_table import Route
from .served_models import ServedModel

SEQUENCE_HEAD = "ForSequenceClassification"


async def rank(
    service: AnsweringService, exchange: Exchange, query: str, texts: list[str], model_name: Any, raw: bool = False
) -> tuple[list[tuple[int, float]], QueuedRequest, str]:
    """Return (index of a text, score), the best first, the request and the name of the model.

    Args:
        service: answers.
        exchange: the request.
        query: that texts are compared to.
        texts: to be ranked.
        model_name: name of a model; None: the first that can rank.
        raw: scores as the model gives them; else between 0 and 1 where it has one output.

    Raises:
        RequestError: the model cannot rank, or no model can.
    """
    model = _reranker(service, model_name)
    places = [f"texts[{index}]" for index in range(len(texts))]
    if model.head.name == SEQUENCE_HEAD:
        chosen = await service.choose("text-classification", model.name)
        asked = {"function_to_apply": "none" if raw else "sigmoid", "top_k": 1}
        params = service.parameters(chosen.task, asked)
        items: list[Any] = [{"text": query, "text_pair": text} for text in texts]
        request = await service.answer(exchange, chosen, params, items, places)
        scores = [float(answer[0]["score"]) for answer in request.answers]
    else:
        chosen = await service.choose("sentence-similarity", model.name)
        params = service.parameters(chosen.task, None)
        items = [{"source_sentence": query, "sentences": texts}]
        request = await service.answer(exchange, chosen, params, items, ["The input"])
        scores = [float(score) for score in request.answers[0]]
    order = sorted(range(len(texts)), key=lambda index: -scores[index])
    return [(index, scores[index]) for index in order], request, model.name


def _reranker(service: AnsweringService, model_name: Any) -> ServedModel:
    """Return the model of a name, or the first that can rank.

    Raises:
        RequestError: it cannot.
    """
    if model_name is not None:
        model = service.find_model("", model_name)
        if model.can_rerank:
            return model
        raise RequestError(
            f"The model {model.name!r} does not rank: it is neither a classifier with one output nor a bare encoder.",
            424,
            "backend",
        )
    models = list(service.models.by_name.values())
    for kind in (SEQUENCE_HEAD, ""):
        for model in models:
            if model.head.name == kind and model.can_rerank:
                return model
    raise RequestError(
        "No model of this server ranks: that takes a classifier with one output, or a bare encoder.", 424, "backend"
    )


async def rerank_of_cohere(service: AnsweringService, exchange: Exchange) -> Reply:
    """Rank documents by a query, as Cohere and Jina do."""
    return await answer_documents(service, exchange, await exchange.json_object())


async def answer_documents(service: AnsweringService, exchange: Exchange, body: dict[str, Any]) -> Reply:
    """Answer a body with the field ``documents``."""
    query, documents = text_field(body, "query"), texts_field(body, "documents")
    top_n = count_field(body, "top_n")
    with_documents = flag_field(body, "return_documents", False)
    ranked, request, model = await rank(service, exchange, query, documents, body.get("model"))
    results: list[dict[str, Any]] = []
    for index, score in ranked[:top_n]:
        result: dict[str, Any] = {"index": index, "relevance_score": score}
        if with_documents:
            result["document"] = {"text": documents[index]}
        results.append(result)
    version = "2" if exchange.scope["path"].startswith("/v2") else "1"
    return Reply(
        to_json(
            {
                "id": str(uuid.uuid4()),
                "object": "list",
                "model": model,
                "results": results,
                "usage": {"total_tokens": request.tokens, "prompt_tokens": request.tokens},
                "meta": {"api_version": {"version": version}, "billed_units": {"search_units": 1}},
            }
        )
    )


ROUTES = (
    Route("POST", "/v1/rerank", rerank_of_cohere, style="cohere"),
    Route("POST", "/v2/rerank", rerank_of_cohere, style="cohere"),
)
