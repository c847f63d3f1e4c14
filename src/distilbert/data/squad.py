"""Questions in the form of SQuAD 1.1 and 2.0: articles with paragraphs, each with a context and its questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.errors import DataError
from .readers import kind_of


def read_questions(articles: list[Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each question and its ``id``, ``question``, ``context`` and ``answers``.

    A question that ``is_impossible`` has an empty list of answers; one without ``answers`` has no such key.

    Args:
        articles: what stands under ``data``.
        name: the file, for places.

    Raises:
        DataError: a part is not what SQuAD has in its place; the message names it.
    """
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_part(article, "paragraphs", list, f"{name}, data[{a}]")):
            where = f"{name}, data[{a}].paragraphs[{p}]"
            context = _part(paragraph, "context", str, where)
            for q, entry in enumerate(_part(paragraph, "qas", list, where)):
                place = f"{where}.qas[{q}]"
                row = {"question": _part(entry, "question", str, place), "context": context}
                if "id" in entry:
                    place, row = f"{name}, question {entry['id']}", {"id": entry["id"], **row}
                if entry.get("is_impossible"):
                    row["answers"] = []
                elif "answers" in entry:
                    row["answers"] = entry["answers"]
                yield place, row


def _part(value: Any, key: str, kind: type, place: str) -> Any:
    if not isinstance(value, dict):
        raise DataError(f"{place} must be an object with {key!r}, got {value!r:.40} of type {kind_of(value)}.")
    if not isinstance(value.get(key), kind):
        raise DataError(f"{place} must have a {kind.__name__} under {key!r}, got {value.get(key)!r:.40}.")
    return value[key]
