"""Fields of bodies that other servers define: read one, and say what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import RequestError
from .queued_requests import TokenIds


def invalid(message: str) -> RequestError:
    """Return the error for a field that cannot be used."""
    return RequestError(message, 422, "validation")


def text_field(body: Mapping[str, Any], name: str) -> str:
    """Return a text.

    Raises:
        RequestError: there is none, or it is empty.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(f"{name} must be a text with at least one character, got {value!r:.80}.")
    return value


def flag_field(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return a truth value; null and nothing are the default.

    Raises:
        RequestError: it is something else.
    """
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false, got {value!r:.80}.")
    return value


def count_field(body: Mapping[str, Any], name: str) -> int | None:
    """Return a whole number above 0; None where there is none.

    Raises:
        RequestError: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid(f"{name} must be a whole number above 0, got {value!r:.80}.")
    return value


def texts_field(body: Mapping[str, Any], name: str) -> list[str]:
    """Return a list of texts; entries may be objects with the field ``text``.

    Raises:
        RequestError: it is something else, or empty.
    """
    value = body.get(name)
    if not isinstance(value, list) or not value:
        raise invalid(f"{name} must be a list of one or more texts, got {value!r:.80}.")
    texts = [entry.get("text") if isinstance(entry, dict) else entry for entry in value]
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            raise invalid(f"{name}[{index}] must be a text with at least one character, got {value[index]!r:.80}.")
    return texts  # type: ignore[return-value]


def texts_or_ids_field(body: Mapping[str, Any], name: str) -> tuple[list[str | TokenIds], bool]:
    """Return texts or ids of tokens, and whether they were a list: a text, texts, ids, or lists of ids.

    Raises:
        RequestError: it is something else, or empty.
    """
    value = body.get(name)
    if isinstance(value, str) and value:
        return [value], False
    if not isinstance(value, list) or not value:
        raise invalid(f"{name} must be a text, a list of texts, or lists of token ids, got {value!r:.80}.")
    if isinstance(value[0], int):
        return [TokenIds(_ids(value, name))], False
    if isinstance(value[0], list):
        return [TokenIds(_ids(each, f"{name}[{index}]")) for index, each in enumerate(value)], True
    return list(texts_field(body, name)), True


def ids_field(body: Mapping[str, Any], name: str) -> list[list[int]]:
    """Return lists of ids of tokens, from one list or several.

    Raises:
        RequestError: it is something else, or empty.
    """
    value = body.get(name)
    if not isinstance(value, list) or not value:
        raise invalid(f"{name} must be a list of token ids, or a list of such lists, got {value!r:.80}.")
    if isinstance(value[0], list):
        return [_ids(each, f"{name}[{index}]") for index, each in enumerate(value)]
    return [_ids(value, name)]


def _ids(value: Any, name: str) -> list[int]:
    if not isinstance(value, list) or not value:
        raise invalid(f"{name} must be a list of token ids, got {value!r:.80}.")
    for entry in value:
        if isinstance(entry, bool) or not isinstance(entry, int) or not 0 <= entry < 2**31:
            raise invalid(f"{name} must be a list of token ids, whole numbers from 0, got {entry!r:.80}.")
    return value
