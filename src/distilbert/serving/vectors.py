"""Vectors of texts, for the routes that give them: one a text, scaled to length 1, and shorter where asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tasks.pooling import normalize as to_unit_length
from .answering_service import AnsweringService
from .body_fields import invalid
from .http_exchange import Exchange
from .queued_requests import QueuedRequest, TokenIds


async def embed(
    service: AnsweringService,
    exchange: Exchange,
    inputs: list[str | TokenIds],
    *,
    model: Any = None,
    normalize: bool = True,
    truncate: bool = False,
    dimensions: int | None = None,
    field: str = "inputs",
) -> tuple[list[list[float]], QueuedRequest, str]:
    """Return vectors, the request that made them and the name of the model.

    Args:
        service: answers.
        exchange: the request.
        inputs: texts, or ids of tokens.
        model: its name; None: the first that gives vectors.
        normalize: scale them to length 1.
        truncate: cut long texts, instead of reading them in windows.
        dimensions: the first numbers that are kept of each.
        field: what the inputs are called in the body, for messages.
    """
    chosen = await service.choose("feature-extraction", model)
    asked: dict[str, Any] = {"pooling": "auto", "normalize": normalize}
    if truncate:
        asked["truncation"] = True
    params = service.parameters(chosen.task, asked)
    places = [f"{field}[{index}]" for index in range(len(inputs))]
    request = await service.answer(exchange, chosen, params, list(inputs), places)
    vectors: list[list[float]] = request.answers
    if dimensions is not None:
        if dimensions > len(vectors[0]):
            raise invalid(f"dimensions is {dimensions}, and vectors of this model have {len(vectors[0])} numbers.")
        vectors = [_shortened(vector[:dimensions], normalize) for vector in vectors]
    return vectors, request, chosen.model.name


def _shortened(vector: list[float], normalize: bool) -> list[float]:
    if not normalize:
        return vector
    shortened: list[float] = to_unit_length(np.array(vector)).tolist()
    return shortened
