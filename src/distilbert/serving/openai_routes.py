"""Vectors in the words of OpenAI, and classes in those of vLLM."""

from __future__ import annotations

import base64
import time
import uuid
from typing import Any

import numpy as np

from .answering_service import AnsweringService, headers_of
from .body_fields import count_field, invalid, text_field, texts_field, texts_or_ids_field
from .http_exchange import Exchange, Reply, to_json
from .route_table import Route
from .vectors import embed

FORMATS = ("float", "base64")


async def embeddings(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return a vector for each input, as OpenAI does."""
    body = await exchange.json_object()
    inputs, _ = texts_or_ids_field(body, "input")
    encoding = body.get("encoding_format") or "float"
    if encoding not in FORMATS:
        raise invalid(f"encoding_format must be 'float' or 'base64', got {encoding!r:.80}.")
    vectors, request, model = await embed(
        service, exchange, inputs, model=body.get("model"), dimensions=count_field(body, "dimensions"), field="input"
    )
    data = [
        {"object": "embedding", "index": index, "embedding": _as_base64(vector) if encoding == "base64" else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens}
    answer = {"object": "list", "data": data, "model": model, "usage": usage}
    return Reply(to_json(answer), headers=headers_of(request, model))


def _as_base64(vector: list[float]) -> str:
    return base64.b64encode(np.array(vector, "<f4").tobytes()).decode("ascii")


async def classify(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return the label of each text with the probabilities of all labels, as vLLM does."""
    body = await exchange.json_object()
    texts = [text_field(body, "input")] if isinstance(body.get("input"), str) else texts_field(body, "input")
    chosen = await service.choose("text-classification", body.get("model"))
    params = service.parameters(chosen.task, {"return_all_scores": True})
    places = [f"input[{index}]" for index in range(len(texts))]
    request = await service.answer(exchange, chosen, params, list(texts), places)
    data: list[dict[str, Any]] = []
    for index, scores in enumerate(request.answers):
        best = max(scores, key=lambda each: each["score"])
        data.append(
            {
                "index": index,
                "label": best["label"],
                "probs": [each["score"] for each in scores],
                "num_classes": len(scores),
            }
        )
    answer = {
        "id": f"classify-{uuid.uuid4().hex}",
        "object": "list",
        "created": int(time.time()),
        "model": chosen.model.name,
        "data": data,
        "usage": {"prompt_tokens": request.tokens, "total_tokens": request.tokens},
    }
    return Reply(to_json(answer), headers=headers_of(request, chosen.model.name))


ROUTES = (
    Route("POST", "/v1/embeddings", embeddings, style="openai"),
    Route("POST", "/embeddings", embeddings, style="openai", name="/v1/embeddings"),
    Route("POST", "/classify", classify, style="openai"),
)
