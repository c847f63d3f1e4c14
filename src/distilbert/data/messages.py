"""How messages name columns and types."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST_NAME, MOST_NAMES = 80, 50  # characters; names


def listed(names: Iterable[str]) -> str:
    """Return names as a message lists them: quoted, with commas between them, and cut if they are long or many."""
    quoted = [f"{name!r:.{LONGEST_NAME}}" for name in names]
    more = f" and {len(quoted) - MOST_NAMES} more" if len(quoted) > MOST_NAMES else ""
    return (", ".join(quoted[:MOST_NAMES]) or "none at all") + more


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__
