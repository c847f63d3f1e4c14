"""The server's log: what happens to it, and as JSON every request, never with a text of one."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

FLUSH_AFTER = 0.5  # seconds: lines of requests are written together
FLUSH_BYTES = 32_768


class JsonFormatter(logging.Formatter):
    """A record of the log as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        entry: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class AccessLog:
    """One line of JSON for each request; they are written together, twice a second at least.

    Args:
        stream: that is written to; None: standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream, self._lines, self._size, self._flushed = stream or sys.stderr, [""][:0], 0, time.monotonic()

    def write(self, method: str, route: str, status: int, seconds: float, fields: dict[str, Any]) -> None:
        """Add a line.

        Args:
            method: of HTTP.
            route: as the description of the server writes it, so nothing that a client made up.
            status: of HTTP.
            seconds: that the request took.
            fields: what else is known of it.
        """
        entry = {
            "time": _timestamp(time.time()),
            "level": "info",
            "method": method,
            "route": route,
            "status": status,
            "ms": round(1000 * seconds, 2),
            **fields,
        }
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size > FLUSH_BYTES or time.monotonic() - self._flushed > FLUSH_AFTER:
            self.flush()

    def flush(self) -> None:
        """Write what has been added."""
        if self._lines:
            self._stream.write("".join(self._lines))
            self._stream.flush()
        self._lines, self._size, self._flushed = [], 0, time.monotonic()


def set_up_log(format: str) -> None:
    """Write the log of the server to standard error.

    Args:
        format: ``"text"`` or ``"json"``.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else logging.Formatter("distilbert: %(message)s"))
    for name in ("distilbert", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    logging.getLogger("distilbert").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
