"""Check inputs and parameters of tasks; every message says what was given, what was expected and where."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from ..core.config_checks import shown
from ..core.errors import InputError, InputTypeError, suggest
from .columns import to_inputs

LARGEST_COUNT = 2**63 - 1
# What to do about an empty text, and what else where `on_error` is an argument.
LEAVE_OUT = "leave it out, or give at least one character"
OR_NULL = ", or pass on_error='null' for None in its place"


def check_text(value: Any, where: str, can_be_null: bool = True) -> str:
    """Return ``value`` as a plain str if it is text with something in it; ``numpy.str_`` is text, too.

    Args:
        value: the text.
        where: what it is called in messages.
        can_be_null: whether ``on_error`` is an argument where the text comes from, for the advice.

    Raises:
        InputTypeError: it is not a str.
        InputError: it is empty.
    """
    if not isinstance(value, str):
        raise InputTypeError(f"{where} must be a str, got {value!r:.80} of type {type(value).__name__}.")
    if not value:
        raise InputError(f"{where} is an empty text: {LEAVE_OUT}{OR_NULL if can_be_null else ''}.")
    return value if type(value) is str else str.__str__(value)


def check_fields(item: Any, required: Collection[str], optional: Collection[str], where: str) -> Mapping[str, Any]:
    """Return ``item`` if it is a mapping with these fields and no others.

    Raises:
        InputError: it is no mapping, a required field is missing, or a field is unknown.
    """
    expected = ", ".join([*required, *(f"{name} (optional)" for name in optional)])
    if not isinstance(item, Mapping):
        raise InputError(f"{where} must be a dict with {expected}, got {item!r:.80} of type {type(item).__name__}.")
    for name in item:
        if name not in required and name not in optional:
            near = suggest(str(name), [*required, *optional])
            raise InputError(f"{where} has an unknown field {name!r}; expected are {expected}.{near}")
    for name in required:
        if name not in item:
            raise InputError(f"{where} lacks the field {name!r}; expected are {expected}.")
    return item


def check_texts(value: Any, where: str) -> list[str]:
    """Return a list of texts, none of them empty, from a list, a tuple or a column such as an array.

    Raises:
        InputError: it is no list, it is empty, or an entry is no text.
    """
    value = to_inputs(value)
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError(f"{where} must be a list of one or more texts, got {value!r:.80}.")
    return [check_text(text, f"{where}[{index}]") for index, text in enumerate(value)]


def check_choice(value: Any, choices: Collection[Any], name: str) -> None:
    """Raise :class:`InputError` if ``value`` is not one of ``choices``."""
    if not isinstance(value, Hashable) or value not in choices:
        near = suggest(str(value), [str(choice) for choice in choices])
        raise InputError(f"{name} must be one of {', '.join(repr(c) for c in choices)}, got {shown(value)}.{near}")


def check_count(value: Any, name: str, *, least: int = 1, optional: bool = False) -> None:
    """Raise :class:`InputError` if ``value`` is not an integer of at least ``least`` (or None, where ``optional``)."""
    if optional and value is None:
        return
    also = " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise InputError(f"{name} must be an integer of at least {least}{also}, got {shown(value)}.")
    if int(value) > LARGEST_COUNT:
        raise InputError(f"{name} must be at most {LARGEST_COUNT}{also}, got {shown(value)}.")
