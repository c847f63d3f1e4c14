"""How messages name columns and types."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them: quoted, with commas between them."""
    return ", ".join(map(repr, names)) or "none at all"


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__
