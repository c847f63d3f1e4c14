"""Bodies of the routes that speak the words of other servers, as JSON schemas."""

from __future__ import annotations

from typing import Any

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT, "minItems": 1}
IDS: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
ID_LISTS: dict[str, Any] = {"type": "array", "items": IDS, "minItems": 1}
BOOLEAN: dict[str, Any] = {"type": "boolean"}
STRING: dict[str, Any] = {"type": "string"}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


FACADE_SCHEMAS: dict[str, dict[str, Any]] = {
    "/embed": _object(
        ("inputs",), inputs={"anyOf": [TEXT, TEXTS, ID_LISTS]}, normalize=BOOLEAN, truncate=BOOLEAN,
        dimensions=COUNT,
    ),
    "/embed_all": _object(("inputs",), inputs={"anyOf": [TEXT, TEXTS, ID_LISTS]}, truncate=BOOLEAN),
    "/predict": _object(
        ("inputs",),
        inputs={"anyOf": [TEXT, {"type": "array", "items": {"anyOf": [TEXT, TEXTS]}, "minItems": 1}]},
        raw_scores=BOOLEAN, truncate=BOOLEAN,
    ),
    "/rerank": _object(
        ("query",), query=TEXT, texts=TEXTS,
        documents={"type": "array", "items": {"anyOf": [TEXT, _object(("text",), text=TEXT)]}, "minItems": 1},
        raw_scores=BOOLEAN, return_text=BOOLEAN, return_documents=BOOLEAN, top_n=COUNT, truncate=BOOLEAN, model=STRING,
    ),
    "/v1/rerank": _object(
        ("query", "documents"), query=TEXT,
        documents={"type": "array", "items": {"anyOf": [TEXT, _object(("text",), text=TEXT)]}, "minItems": 1},
        return_documents=BOOLEAN, top_n=COUNT, model=STRING,
    ),
    "/v2/rerank": _object(
        ("query", "documents"), query=TEXT, documents=TEXTS, top_n=COUNT, model=STRING,
    ),
    "/similarity": _object(
        ("inputs",), inputs=_object(("source_sentence", "sentences"), source_sentence=TEXT, sentences=TEXTS),
        parameters={"type": "object"},
    ),
    "/tokenize": _object(("inputs",), inputs={"anyOf": [TEXT, TEXTS]}, add_special_tokens=BOOLEAN),
    "/decode": _object(("ids",), ids={"anyOf": [IDS, ID_LISTS]}, skip_special_tokens=BOOLEAN),
    "/v1/embeddings": _object(
        ("input",), input={"anyOf": [TEXT, TEXTS, IDS, ID_LISTS]}, model=STRING,
        encoding_format={"enum": ["float", "base64"]}, dimensions=COUNT, user=STRING,
    ),
    "/classify": _object(("input",), input={"anyOf": [TEXT, TEXTS]}, model=STRING),
    "/v2/models/{name}/infer": _object(
        ("inputs",),
        inputs={
            "type": "array", "minItems": 1,
            "items": _object(
                ("name", "shape", "datatype", "data"), name=STRING, datatype=STRING, data={"type": "array"},
                shape={"type": "array", "items": {"type": "integer"}},
            ),
        },
        parameters={"type": "object"}, id=STRING,
    ),
    "/models/{name}": _object(("inputs",), inputs={}, parameters={"type": "object"}),
}  # fmt: skip
