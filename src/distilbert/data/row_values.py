"""The values of a row as texts, lists of texts and labels; one that cannot be used is an error that names its place."""

from __future__ import annotations

import math
import re
from typing import Any

from ..core.errors import DataError
from .list_literals import parse_list
from .messages import listed, type_name
from .row_stream import Row


def value_of(row: Row, column: str) -> Any:
    """Return the value of a column.

    Raises:
        DataError: the row has no such column; the message lists those that it has.
    """
    try:
        return row.value[column]
    except KeyError:
        raise DataError(f"{row.place} has no column {column!r}, but {listed(row.value)}.") from None


def is_missing(value: Any) -> bool:
    """Tell whether a value holds nothing: null, NaN, or text without a visible character."""
    return value is None or value != value or (isinstance(value, str) and (not value or value.isspace()))


_WHOLE_NUMBER = re.compile(r"\s*([+-]?\d{1,300})\.0?\s*", re.ASCII)


def whole_number(text: str) -> str:
    """Return a number such as ``1.0`` as ``1``; empty for any other text.

    Tables have such numbers because pandas writes a column of integers as floats where one of them is missing.
    """
    match = _WHOLE_NUMBER.fullmatch(text)
    return str(int(match[1])) if match else ""


def is_marked(row: Row, column: str) -> bool:
    """Tell whether a column of 0 and 1 has 1.

    Raises:
        DataError: it has something else.
    """
    value = value_of(row, column)
    text = "" if is_missing(value) else str(value).strip().lower()
    text = whole_number(text) or text
    if text not in ("0", "1", "false", "true"):
        raise DataError(f"{row.place}: a column of a label holds 0 or 1, got {_described(value)} under {column!r}.")
    return text in ("1", "true")


def text_of(row: Row, column: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a column.

    Raises:
        DataError: it is not a text, or has nothing but spaces. Where it ``may_be_empty``, spaces are allowed, and
            null is an empty text.
    """
    text = value_of(row, column)
    return "" if may_be_empty and text is None else _check_text(text, column, row.place, may_be_empty)


def words_of(row: Row, column: str, count: int | None = None) -> tuple[str, ...]:
    """Return words or tags: a list of texts or integers, which may have become text, or a text with spaces between.

    Args:
        row: the row.
        column: the column of the words.
        count: how many there should be. It decides about a text in brackets, which may be a list or a sentence.

    Raises:
        DataError: it is nothing of this kind, or one of them is empty.
    """
    value = value_of(row, column)
    words = value
    if isinstance(value, str):
        readings = [value.split()]
        if isinstance(parsed := parse_list(value), list):
            readings.insert(0, parsed)
        words = next((words for words in readings if len(words) == count), readings[0])
    if not isinstance(words, list) or not words:
        raise DataError(f"{row.place} must hold a list of texts under {column!r}, got {_described(value)}.")
    return tuple(
        word if isinstance(word, str) and word else _label_text(word, f"{column}[{number}]", row.place)
        for number, word in enumerate(words)
    )


def texts_of(row: Row, column: str) -> tuple[str, ...]:
    """Return texts: a list of them, which a text format holds as text.

    Raises:
        DataError: it is not a list of texts, or one of them is empty.
    """
    value = value_of(row, column)
    texts = parse_list(value) if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise DataError(f"{row.place} must hold a list of texts under {column!r}, got {_described(value)}.")
    return tuple(_check_text(text, f"{column}[{number}]", row.place) for number, text in enumerate(texts))


def label_of(row: Row, column: str, labelled: bool) -> str | tuple[str, ...] | float | None:
    """Return a label: texts, integers and booleans as text, lists as tuples of text, floats as they are.

    A list may have become text, as it does in tables.

    Args:
        row: the row.
        column: the column of the label.
        labelled: a missing label is an error; otherwise it is None.

    Raises:
        DataError: the value cannot be a label.
    """
    value = value_of(row, column) if labelled else row.value.get(column)
    if not labelled and is_missing(value):
        return None
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and isinstance(parsed := parse_list(value), list):
        value = parsed
    if isinstance(value, (list, tuple)):
        return tuple(_label_text(item, f"{column}[{number}]", row.place) for number, item in enumerate(value))
    return _label_text(value, column, row.place)


def choice_of(row: Row, column: str, choices: tuple[str, ...], labelled: bool) -> int | None:
    """Return the index of the right choice, which a row gives as an index (from 0), a letter or the choice's text.

    Raises:
        DataError: the value means no choice, or could mean several.
    """
    value = value_of(row, column) if labelled else row.value.get(column)
    if not labelled and is_missing(value):
        return None
    known = f"There are {len(choices)} choices: 0 to {len(choices) - 1}, or A to {chr(ord('A') + len(choices) - 1)}."
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(choices):
            raise DataError(f"{row.place}: {value} under {column!r} is not a choice. {known}")
        return value
    name = _label_text(value, column, row.place)
    meant = {number for number, choice in enumerate(choices) if choice == name}
    if not meant:
        name = whole_number(name) or name
    if name.isascii() and name.isdigit() and len(name) < 10:
        meant.add(int(name))
    elif len(name) == 1 and "A" <= name.upper() <= "Z":
        meant.add(ord(name.upper()) - ord("A"))
    meant &= set(range(len(choices)))
    if len(meant) != 1:
        fault = "could mean several choices; write a number without quotation marks" if meant else "is not a choice"
        raise DataError(f"{row.place}: {name!r:.60} under {column!r} {fault}. {known}")
    return meant.pop()


def _check_text(text: Any, column: str, place: str, may_be_empty: bool = False) -> str:
    if not isinstance(text, str):
        raise DataError(f"{place} must hold a text under {column!r}, got {_described(text)}.")
    if not may_be_empty and is_missing(text):
        raise DataError(f"{place} has an empty text under {column!r}; fill it in or leave the row out.")
    return text


def _label_text(value: Any, column: str, place: str) -> str:
    """Return a label, word or tag as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if is_missing(value):
        raise DataError(f"{place} has nothing under {column!r}; fill it in or leave the row out.")
    if isinstance(value, str):
        return value
    raise DataError(f"{place} cannot use {value!r:.60} of type {type_name(value)} under {column!r}.")


def _described(value: Any) -> str:
    return f"{value!r:.60} of type {type_name(value)}"
