"""Questions in the form of SQuAD 1.1 and 2.0: articles of paragraphs, each with a context and questions about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..core.errors import DataError
from .messages import type_name


def read_questions(articles: list[Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place of each question and its ``id``, ``question``, ``context`` and ``answers``.

    A question that ``is_impossible`` gets an empty list of answers. One that has no ``answers`` gets no such key.

    Args:
        articles: the list under ``data``.
        name: the file, for places.

    Raises:
        DataError: a member of the file has another form than SQuAD's; the message names it.
    """
    for a, article in enumerate(articles):
        for p, paragraph in enumerate(_member(article, "paragraphs", list, f"{name}, data[{a}]")):
            where = f"{name}, data[{a}].paragraphs[{p}]"
            context = _member(paragraph, "context", str, where)
            for q, entry in enumerate(_member(paragraph, "qas", list, where)):
                place = f"{where}.qas[{q}]"
                row = {"question": _member(entry, "question", str, place), "context": context}
                if "id" in entry:
                    place, row = f"{name}, question {entry['id']}", {"id": entry["id"], **row}
                if entry.get("is_impossible"):
                    row["answers"] = []
                elif "answers" in entry:
                    row["answers"] = entry["answers"]
                yield place, row


def _member(value: Any, key: str, kind: type, place: str) -> Any:
    if not isinstance(value, dict):
        raise DataError(f"{place} must be an object with {key!r}, got {value!r:.40} of type {type_name(value)}.")
    if not isinstance(value.get(key), kind):
        raise DataError(f"{place} must have a {kind.__name__} under {key!r}, got {value.get(key)!r:.40}.")
    return value[key]
