"""Lists that became text: what a table holds where Python, NumPy, JSON or a database wrote a list into a field."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_LONGEST = 1 << 20  # characters that are parsed
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_QUOTED = re.compile(r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([^\s,'"]+))\s*(,?)""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ARRAY = re.compile(r"\barray\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_WORDS = {"True": True, "False": False, "true": True, "false": False, "None": None, "null": None}


def parse_list(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list, tuple, set or dict that a text is; None where it is just a text.

    Example: ``"['x', 'y']"``, ``"('x', 'y')"``, ``'["x", "y"]'``, ``"['x' 'y']"`` (NumPy) and ``"[x, y]"`` are
    ``["x", "y"]``; ``"[1. 0.]"`` is ``[1.0, 0.0]``. ``"[x]"`` and ``"(x)"`` are texts.
    """
    text = text.strip()
    if not 2 <= len(text) <= _LONGEST or _CLOSING.get(text[0]) != text[-1]:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _flat(text)
        if value is None:
            value = _nested(text)
    return value if isinstance(value, (list, dict)) else None


def _flat(text: str) -> list[Any] | None:
    """Return a list without other lists in it."""
    inner = text[1:-1].strip()
    if text[0] == "(" and "," not in inner and inner:
        return None  # text in parentheses
    if not inner:
        return [] if text[0] != "{" else None
    if "'" not in inner and '"' not in inner:
        return _unquoted(inner, text[0])
    values: list[Any] = []
    position = 0
    while position < len(inner):
        match = _QUOTED.match(inner, position)
        if match is None or not (match[1] or _is_scalar(match[2])):
            return None
        value = _nested(match[1]) if match[1] else _scalar(match[2])
        if match[1] and value is None:  # not a string of Python
            return None
        values.append(value)
        position = match.end()
    return values


def _unquoted(inner: str, opening: str) -> list[Any] | None:
    """Return numbers with commas or spaces between them, or words with commas between them."""
    items = [item.strip() for item in inner.strip(",").split(",")] if "," in inner else inner.split()
    if all(map(_is_scalar, items)):
        return [_scalar(item) for item in items]
    is_list_of_words = "," in inner and opening != "(" and all(items) and not re.search(r"[\[\](){}:]", inner)
    return [_scalar(item) if _is_scalar(item) else item for item in items] if is_list_of_words else None


def _is_scalar(text: str) -> bool:
    return text in _WORDS or (len(text) <= 300 and _NUMBER.fullmatch(text) is not None)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    return float(text) if re.search("[.eE]", text) else int(text)


def _nested(text: str) -> Any:
    """Return a Python literal, with ``array([...])`` of NumPy as a list."""
    try:
        value = ast.literal_eval(_ARRAY.sub(r"\1", text))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    return list(value) if isinstance(value, (tuple, set)) else value
