"""The routes of text-embeddings-inference, so that its clients find what they know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ..core.errors import DistilBertError, RequestError
from ..tasks.task_tokenizer import TaskTokenizer
from .answering_service import AnsweringService, headers_of_tei
from .body_fields import count_field, flag_field, ids_field, invalid, text_field, texts_field, texts_or_ids_field
from .http_exchange import Exchange, Reply, to_json
from .queued_requests import QueuedRequest
from .rerank_routes import answer_documents, rank
from .route_table import Route
from .served_models import LoadedTasks
from .vectors import embed


def check_direction(body: dict[str, Any]) -> bool:
    """Return whether long texts are cut: at their ends, or on the side that the model's tokenizer has.

    Raises:
        RequestError: another direction is asked for.
    """
    direction = body.get("truncation_direction")
    if direction is not None and str(direction).lower() != "right":
        raise invalid(
            f"truncation_direction {direction!r:.40} is not known here: texts are cut at their ends, 'Right', or "
            "where the truncation_side of the model's tokenizer says."
        )
    if body.get("prompt_name") is not None:
        raise invalid(
            "prompt_name is not known here: write the prompt before the text, or serve a model with a default."
        )
    return flag_field(body, "truncate", False)


async def embed_texts(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return a vector for each text."""
    body = await exchange.json_object()
    vectors, request, _ = await embed_body(service, exchange, body, body.get("model"))
    return Reply(to_json(vectors), headers=headers_of_tei(request))


async def embed_body(
    service: AnsweringService, exchange: Exchange, body: dict[str, Any], model: Any
) -> tuple[list[list[float]], QueuedRequest, str]:
    """Return the vectors that a body asks a model for, the request that made them and the name of the model."""
    inputs, _ = texts_or_ids_field(body, "inputs")
    return await embed(
        service,
        exchange,
        inputs,
        model=model,
        normalize=flag_field(body, "normalize", True),
        truncate=check_direction(body),
        dimensions=count_field(body, "dimensions"),
    )


async def embed_tokens(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return a vector for each token of each text."""
    body = await exchange.json_object()
    inputs, _ = texts_or_ids_field(body, "inputs")
    chosen = await service.choose("feature-extraction", body.get("model"))
    params = service.parameters(chosen.task, {"truncation": True} if check_direction(body) else None)
    places = [f"inputs[{index}]" for index in range(len(inputs))]
    request = await service.answer(exchange, chosen, params, list(inputs), places)
    return Reply(to_json([answer[0] for answer in request.answers]), headers=headers_of_tei(request))


async def predict(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return all labels of a text, of a pair of texts, or of a list of these."""
    body = await exchange.json_object()
    items, is_list = _predictions(body.get("inputs"))
    asked: dict[str, Any] = {"top_k": None}
    if flag_field(body, "raw_scores", False):
        asked["function_to_apply"] = "none"
    if check_direction(body):
        asked["truncation"] = True
    chosen = await service.choose("text-classification", body.get("model"))
    params = service.parameters(chosen.task, asked)
    places = [f"inputs[{index}]" for index in range(len(items))] if is_list else ["inputs"]
    request = await service.answer(exchange, chosen, params, items, places)
    answer = request.answers if is_list else request.answers[0]
    return Reply(to_json(answer), headers=headers_of_tei(request))


def _predictions(inputs: Any) -> tuple[list[Any], bool]:
    """Return inputs of text classification, and whether they were a list: "a", ["a", "b"] and [["a"], ["a", "b"]]."""
    if isinstance(inputs, str):
        return [inputs], False
    if not isinstance(inputs, list) or not inputs:
        raise invalid(f"inputs must be a text, a pair of texts or a list of these, got {inputs!r:.80}.")
    if isinstance(inputs[0], str) and len(inputs) == 2 and isinstance(inputs[1], str):
        return [{"text": inputs[0], "text_pair": inputs[1]}], False
    items: list[Any] = []
    for index, entry in enumerate(inputs):
        texts = [entry] if isinstance(entry, str) else entry
        if not isinstance(texts, list) or not 1 <= len(texts) <= 2 or not all(isinstance(text, str) for text in texts):
            raise invalid(f"inputs[{index}] must be a text, or a list of one or two, got {entry!r:.80}.")
        items.append(texts[0] if len(texts) == 1 else dict(zip(("text", "text_pair"), texts, strict=True)))
    return items, True


async def rerank(service: AnsweringService, exchange: Exchange) -> Reply:
    """Rank texts by a query; with ``documents`` instead of ``texts``, in the words of Cohere and Jina."""
    body = await exchange.json_object()
    if "documents" in body and "texts" not in body:
        return await answer_documents(service, exchange, body)
    query, texts = text_field(body, "query"), texts_field(body, "texts")
    check_direction(body)
    with_texts = flag_field(body, "return_text", False)
    ranked, request, _ = await rank(
        service, exchange, query, texts, body.get("model"), flag_field(body, "raw_scores", False)
    )
    results = [
        {"index": index, "score": score} | ({"text": texts[index]} if with_texts else {}) for index, score in ranked
    ]
    return Reply(to_json(results), headers=headers_of_tei(request))


async def similarity(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return how similar sentences are to one."""
    body = await exchange.json_object()
    inputs = body.get("inputs")
    if not isinstance(inputs, dict):
        raise invalid(f"inputs must be an object with source_sentence and sentences, got {inputs!r:.80}.")
    source, sentences = text_field(inputs, "source_sentence"), texts_field(inputs, "sentences")
    options = body.get("parameters") or {}
    if not isinstance(options, dict):
        raise invalid(f"parameters must be an object, got {options!r:.80}.")
    check_direction(options)
    chosen = await service.choose("sentence-similarity", body.get("model"))
    item = {"source_sentence": source, "sentences": sentences}
    request = await service.answer(exchange, chosen, chosen.task.params, [item], ["inputs"])
    return Reply(to_json(request.answers[0]), headers=headers_of_tei(request))


async def tokenize(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return the tokens of texts."""
    body = await exchange.json_object()
    value = body.get("inputs")
    texts = [text_field(body, "inputs")] if isinstance(value, str) else texts_field(body, "inputs")
    _check_lengths(service, texts, "texts", "characters")
    with_special = flag_field(body, "add_special_tokens", True)
    chosen = await service.choose("", body.get("model"))
    return Reply(await asyncio.to_thread(_tokenize, chosen.loaded.tokenizer, texts, with_special))


def _tokenize(tokenizer: TaskTokenizer, texts: list[str], with_special: bool) -> bytes:
    encodings = tokenizer.encode_batch(texts, add_special_tokens=with_special)
    answers = []
    for text, encoding in zip(texts, encodings, strict=True):
        columns = zip(encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True)
        answers.append(
            [
                {
                    "id": token,
                    "text": entry if special else text[start:stop],
                    "special": bool(special),
                    "start": None if special else start,
                    "stop": None if special else stop,
                }
                for token, entry, special, (start, stop) in columns
            ]
        )
    return to_json(answers)


async def decode(service: AnsweringService, exchange: Exchange) -> Reply:
    """Return the texts of ids of tokens."""
    body = await exchange.json_object()
    ids = ids_field(body, "ids")
    _check_lengths(service, ids, "lists", "token ids")
    skip = flag_field(body, "skip_special_tokens", True)
    chosen = await service.choose("", body.get("model"))
    return Reply(await asyncio.to_thread(_decode, chosen.loaded, ids, skip))


def _decode(loaded: LoadedTasks, ids: list[list[int]], skip: bool) -> bytes:
    size = loaded.config.vocab_size
    if any(token >= size for each in ids for token in each):
        raise invalid(f"Token ids of this model are 0 to {size - 1}.")
    try:
        return to_json([loaded.tokenizer.decode(each, skip) for each in ids])
    except (DistilBertError, IndexError, KeyError) as error:
        raise RequestError(f"These ids have no text: {error}", 422, "validation") from None


def _check_lengths(service: AnsweringService, values: Sequence[str | list[int]], name: str, unit: str) -> None:
    most = service.settings.max_characters
    if sum(map(len, values)) > most:
        raise RequestError(f"The {name} have more than {most:,} {unit} together.", 413, "validation")


ROUTES = (
    Route("POST", "/embed", embed_texts),
    Route("POST", "/embed_all", embed_tokens),
    Route("POST", "/predict", predict),
    Route("POST", "/rerank", rerank),
    Route("POST", "/similarity", similarity),
    Route("POST", "/tokenize", tokenize),
    Route("POST", "/decode", decode),
)
