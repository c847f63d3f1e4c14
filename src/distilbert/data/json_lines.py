"""Values as JSON lines."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> str:
    """Return one line of JSON; what JSON has no form for, such as a date of a parquet file, becomes text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def encode_lines(values: list[Any]) -> bytes:
    """Return JSON lines as bytes; a lone surrogate, which UTF-8 cannot hold, stays a JSON escape."""
    return "".join(to_json(value) + "\n" for value in values).encode("utf-8", errors="backslashreplace")
