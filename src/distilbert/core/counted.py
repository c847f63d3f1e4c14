"""Numbers with their nouns: one row, two rows."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number and what it counts: ``"1 row"``, ``"2,000 rows"``.

    Args:
        count: the number.
        one: what one of them is called.
        several: what others are called; default: with an s.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
