"""An AWS Lambda behind an HTTP API or a function URL: the event becomes a request of ASGI, the answer an object.

The handler is ``lambda_handler.handler``. Give the function 1769 MB or more, which is one CPU, and the two folders that
``install.sh`` and this file are in. The models load when the sandbox starts; a frozen sandbox goes on where it was.
Streams (NDJSON) are answered whole, since Lambda has no other way here.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from distilbert.serving import create_app

app = create_app()
loop = asyncio.new_event_loop()
life: set[asyncio.Task[None]] = set()  # of the application, as long as the sandbox


async def start() -> None:
    """Load the models, as a server does before its first request."""
    ready = loop.create_future()

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"} if not ready.done() else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.failed":
            ready.set_exception(RuntimeError(message["message"]))
        else:
            ready.set_result(None)

    life.add(loop.create_task(app({"type": "lifespan"}, receive, send)))
    await ready


loop.run_until_complete(start())


async def answer(event: dict[str, Any]) -> dict[str, Any]:
    """Answer an event of format 2.0."""
    request = event["requestContext"]["http"]
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in event.get("headers", {}).items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request["method"],
        "scheme": "https", "path": event.get("rawPath", "/"), "query_string": event.get("rawQueryString", "").encode(),
        "headers": headers, "client": (request.get("sourceIp", ""), 0), "server": None,
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "http.request", "body": content}]

    async def receive() -> dict[str, Any]:
        return incoming.pop() if incoming else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    names = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    is_text = names.get("content-type", "").startswith(("application/json", "application/x-ndjson", "text/"))
    return {
        "statusCode": sent[0]["status"],
        "headers": names,
        "body": content.decode() if is_text else base64.b64encode(content).decode(),
        "isBase64Encoded": not is_text,
    }


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of an HTTP API or a function URL."""
    return loop.run_until_complete(answer(event))
