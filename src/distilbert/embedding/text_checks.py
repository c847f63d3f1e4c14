"""The check of a text to encode. It is that of the tasks, whose advice names an argument that is not known here."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError
from ..tasks.checks import check_text


def check_text_to_encode(value: Any, where: str) -> str:
    """Return a text with something in it; see :func:`~distilbert.tasks.checks.check_text`.

    Raises:
        InputTypeError: it is no text.
        InputError: it is empty.
    """
    if isinstance(value, str) and not value:
        raise InputError(f"{where} is an empty text: leave it out, or give at least one character.")
    return check_text(value, where)
