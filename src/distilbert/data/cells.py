"""Cells to values: texts, lists of them, labels; what cannot be one is an error that names its place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..core.errors import DataError
from .readers import kind_of, listed


def cell(row: Mapping[str, Any], column: str, place: str) -> Any:
    """Return the cell of a column.

    Raises:
        DataError: the row has no such column; the message lists those that it has.
    """
    try:
        return row[column]
    except KeyError:
        raise DataError(f"{place} has no column {column!r}, but {listed(row)}.") from None


def is_missing(value: Any) -> bool:
    """Whether a cell has nothing in it: null, or text without a character that can be seen."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def as_text(row: Mapping[str, Any], column: str, place: str, *, may_be_empty: bool = False) -> str:
    """Return the text of a column.

    Raises:
        DataError: it is no text, or nothing but spaces (allowed, as is null, where it ``may_be_empty``).
    """
    return check_text(cell(row, column, place), column, place, may_be_empty=may_be_empty)


def check_text(text: Any, column: str, place: str, *, may_be_empty: bool = False) -> str:
    """Return a cell that is a text; see :func:`as_text`."""
    if may_be_empty and text is None:
        return ""
    if not isinstance(text, str):
        raise DataError(f"{place} must hold a text under {column!r}, {_got(text)}.")
    if not may_be_empty and is_missing(text):
        raise DataError(f"{place} has an empty text under {column!r}; fill it in or leave the row out.")
    return text


def as_words(row: Mapping[str, Any], column: str, place: str) -> tuple[str, ...]:
    """Return words or tags: a list of texts or integers, or one text with spaces between them.

    Raises:
        DataError: it is nothing of this kind, or one of them is empty.
    """
    value = cell(row, column, place)
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise DataError(f"{place} must hold a list of texts under {column!r}, {_got(value)}.")
    return tuple(
        word if isinstance(word, str) and word else _name(word, f"{column}[{number}]", place)
        for number, word in enumerate(words)
    )


def as_texts(row: Mapping[str, Any], column: str, place: str) -> tuple[str, ...]:
    """Return texts: a list of them, in a text format as JSON.

    Raises:
        DataError: it is no list of texts, or one of them is empty.
    """
    value = cell(row, column, place)
    texts = value
    if isinstance(value, str):
        try:
            texts = json.loads(value)
        except ValueError:
            texts = None
    if not isinstance(texts, list) or not texts:
        raise DataError(f"{place} must hold a list of texts under {column!r}, {_got(value)}.")
    return tuple(check_text(text, f"{column}[{number}]", place) for number, text in enumerate(texts))


def as_label(value: Any, column: str, place: str, labelled: bool) -> str | tuple[str, ...] | float | None:
    """Return a label: texts, integers and booleans as text, lists as tuples of text, floats as they are.

    Args:
        value: the cell.
        column: its column, for messages.
        place: its row, for messages.
        labelled: an empty cell is an error; otherwise the row is not labelled.

    Raises:
        DataError: it cannot be a label.
    """
    if not labelled and is_missing(value):
        return None
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return tuple(_name(item, f"{column}[{number}]", place) for number, item in enumerate(value))
    return _name(value, column, place)


def as_choice(value: Any, choices: tuple[str, ...], column: str, place: str, labelled: bool) -> int | None:
    """Return the index of the right choice, from an index (of 0), a letter (of A) or the text of the choice.

    Raises:
        DataError: no choice is meant, or several could be.
    """
    if not labelled and is_missing(value):
        return None
    known = f"There are {len(choices)} choices: 0 to {len(choices) - 1}, or A to {chr(ord('A') + len(choices) - 1)}."
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < len(choices):
            raise DataError(f"{place}: {value} under {column!r} is no choice. {known}")
        return value
    name = _name(value, column, place)
    meant = {number for number, choice in enumerate(choices) if choice == name}
    if name.isascii() and name.isdigit():
        meant.add(int(name))
    elif len(name) == 1 and "A" <= name.upper() <= "Z":
        meant.add(ord(name.upper()) - ord("A"))
    meant &= set(range(len(choices)))
    if len(meant) != 1:
        what = "could mean several choices; write a number without quotation marks" if meant else "is no choice"
        raise DataError(f"{place}: {name!r:.60} under {column!r} {what}. {known}")
    return meant.pop()


def _name(value: Any, column: str, place: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and not is_missing(value):
        return value
    if is_missing(value):
        raise DataError(f"{place} has nothing under {column!r}; fill it in or leave the row out.")
    raise DataError(f"{place} cannot use {value!r:.60} of type {kind_of(value)} under {column!r}.")


def _got(value: Any) -> str:
    return f"got {value!r:.60} of type {kind_of(value)}"
