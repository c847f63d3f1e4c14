"""One request of HTTP and its reply, on plain ASGI: bodies within limits, JSON within a depth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..core.errors import RequestError
from ..core.extras import require

orjson: Any = require("orjson", "serve")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

DEEPEST = 32  # arrays and objects inside each other in a body
CLIENT_GONE = 499  # the status that logs have for it; it is never sent
LONGEST_TIMEOUT = 3600.0  # seconds
PRIORITIES = range(-10, 11)
JSON = b"application/json"
NDJSON = b"application/x-ndjson"


@dataclass(slots=True)
class Reply:
    """What is sent back.

    Attributes:
        body: bytes; or chunks of them as they come.
        status: of HTTP.
        content_type: of the body.
        headers: others.
    """

    body: bytes | AsyncIterator[bytes]
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = field(default_factory=list)


class Exchange:
    """A request as it comes in.

    Args:
        scope: of ASGI.
        receive: of ASGI.
        send: of ASGI.
        max_body: bytes of the longest body.
        slow_client_timeout: seconds in which the whole body must have come.

    Attributes:
        arrived: when its headers were read, in seconds of ``time.perf_counter``.
        headers: by lower-case names; of several with one name, the last.
        path_values: what stands at the variable places of its path.
        tokens: that were computed for it; for the log.
        inputs: that were answered; for the log.
        model: that answered; for the log.
        steps: name, start and end of what was done for it; for traces.
        is_gone: its client has closed the connection.
        is_read: its whole body was read, so the next message can only say that the client has gone.
    """

    __slots__ = (
        "_max_body", "_receive", "_send", "_slow_client_timeout", "arrived", "headers", "inputs", "is_gone", "is_read",
        "model", "path_values", "scope", "steps", "tokens",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int, slow_client_timeout: float) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self._max_body, self._slow_client_timeout = max_body, slow_client_timeout
        self.arrived = time.perf_counter()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path_values: dict[str, str] = {}
        self.steps: list[tuple[str, float, float]] = []
        self.model, self.tokens, self.inputs, self.is_gone = "", 0, 0, False
        self.is_read = False

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            RequestError: it is too long, or did not come in time.
        """
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body:
            raise self._too_long()
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._slow_client_timeout):
                while not self.is_read:
                    message = await self._next()
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > self._max_body:
                        raise self._too_long()
        except TimeoutError:
            raise self.too_slow() from None
        return b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; each chunk must come in time.

        Raises:
            RequestError: the next one did not.
        """
        more = True
        while more:
            try:
                async with asyncio.timeout(self._slow_client_timeout):
                    message = await self._next()
            except TimeoutError:
                raise self.too_slow() from None
            more = bool(message.get("more_body"))
            yield message.get("body", b"")

    async def json(self) -> Any:
        """Return the value of a JSON body.

        Raises:
            RequestError: it is no JSON, or nested too deeply; or as for :meth:`body`.
        """
        return parse_json(await self.body())

    async def json_object(self) -> dict[str, Any]:
        """Return the object in a JSON body.

        Raises:
            RequestError: it holds something else; or as for :meth:`json`.
        """
        value = await self.json()
        if not isinstance(value, dict):
            raise RequestError(f"The body must be a JSON object, got {_kind(value)}.", 422, "validation")
        return value

    async def wait_until_gone(self) -> None:
        """Return when the client has closed its connection; only after the whole body was read."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.is_gone = True
                return

    @property
    def timeout(self) -> float | None:
        """Seconds that the client allows; None if it does not say.

        Raises:
            RequestError: the header is no number of milliseconds.
        """
        value = self.headers.get(b"x-request-timeout-ms")
        if value is None:
            return None
        if not value.isdigit() or len(value) > 9 or int(value) == 0:
            raise RequestError(
                "x-request-timeout-ms must be a whole number of milliseconds above 0.", 400, "validation"
            )
        return min(int(value) / 1000, LONGEST_TIMEOUT)

    @property
    def priority(self) -> int:
        """Priority that the client asks for; 0 if it does not.

        Raises:
            RequestError: the header is no number from -10 to 10.
        """
        value = self.headers.get(b"x-request-priority")
        if value is None:
            return 0
        try:
            priority = int(value) if len(value) < 4 else 99
        except ValueError:
            priority = 99
        if priority not in PRIORITIES:
            raise RequestError("x-request-priority must be a whole number from -10 to 10.", 400, "validation")
        return priority

    @property
    def wants_lines(self) -> bool:
        """Whether the client asks for the answer as lines of JSON."""
        return NDJSON in self.headers.get(b"accept", b"")

    @property
    def sends_lines(self) -> bool:
        """Whether the body is lines of JSON."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in (
            NDJSON,
            b"application/jsonl",
            b"application/ndjson",
        )

    async def send(self, reply: Reply) -> None:
        """Send a reply."""
        body = reply.body
        headers = [(b"content-type", reply.content_type), *reply.headers]
        start: dict[str, Any] = {"type": "http.response.start", "status": reply.status, "headers": headers}
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
            await self._send(start)
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._send(start)
        async for chunk in body:
            if chunk:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _next(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_gone = True
            raise client_gone()
        self.is_read = not message.get("more_body")
        return message

    def check_encoding(self) -> None:
        """Check that the body is not compressed.

        Raises:
            RequestError: it is.
        """
        encoding = self.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            raise RequestError(
                f"The body has the Content-Encoding {encoding[:40].decode('ascii', 'replace')!r}, which is not taken: "
                "send it uncompressed.",
                415,
                "validation",
            )

    def _too_long(self) -> RequestError:
        return RequestError(f"The body is longer than {self._max_body:,} bytes.", 413, "validation")

    def too_slow(self) -> RequestError:
        """Return the error for a client that does not send its body."""
        return RequestError(f"The body did not come within {self._slow_client_timeout:g} s.", 408, "timeout")


def client_gone() -> RequestError:
    """Return the error for a client that has closed its connection: there is nobody to answer."""
    return RequestError("The client has gone.", CLIENT_GONE, "cancelled")


def parse_json(body: bytes) -> Any:
    """Return the value of JSON.

    Raises:
        RequestError: it is none, not in UTF-8, or nested too deeply.
    """
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise RequestError(f"The body is not JSON: {str(error)[:200]}", 400, "validation") from None
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        containers = [item for item in level if isinstance(item, (dict, list))]
        level = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise RequestError(f"The JSON nests values more than {DEEPEST} deep.", 400, "validation")


def to_json(value: Any) -> bytes:
    """Return a value as JSON."""
    result: bytes = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return result


def _kind(value: Any) -> str:
    names = {str: "a text", list: "a list", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), "null")
