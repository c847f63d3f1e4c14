"""Values as JSON lines."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """Return one line of JSON.

    What JSON has no form for, such as a date of a parquet file, becomes text. NaN and infinity become null.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    """Return a value with None in place of the floats that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def encode_lines(values: list[Any]) -> bytes:
    """Return JSON lines as bytes; a lone surrogate, which UTF-8 cannot hold, stays a JSON escape."""
    return "".join(to_json(value) + "\n" for value in values).encode("utf-8", errors="backslashreplace")
