"""The ASGI application: routes, keys, errors in the form that each client expects, figures and log of every request."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any

from ..core.errors import DistilBertError, RequestError
from ..tasks.registry import TASKS
from . import hub_routes, inference_protocol_routes, openai_routes, rerank_routes, server_routes, tei_routes
from .access_log import AccessLog
from .answering_service import AnsweringService
from .http_exchange import CLIENT_GONE, Exchange, Headers, Receive, Reply, Scope, Send, to_json
from .request_traces import Trace, open_traces
from .route_table import OTHER, Route, RouteTable
from .served_models import ServedModels
from .server_metrics import STATUSES, ServerMetrics
from .server_settings import ServerSettings, as_names
from .task_routes import task_handler

STATUS_TEXTS = {status: str(status) for status in STATUSES}
OPENAI_KINDS = {401: "authentication_error", 429: "rate_limit_error"}
ALWAYS: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

logger = logging.getLogger("distilbert.serving")


def create_app(models: str | Sequence[str] | None = None, **settings: Any) -> Any:
    """Return an ASGI application that answers over HTTP, for a server of your own such as uvicorn or hypercorn.

    It loads its models when the server starts it (``lifespan``), and needs no framework.

    Args:
        models: folders, installed names or ``name=folder``; None: the installed default models.
        **settings: those of :class:`~distilbert.serving.server_settings.ServerSettings`.

    Raises:
        ModelNotFoundError: there is no such model.
        InputError: a setting cannot work, or two models have one name.
        UnknownArgumentError: there is no such setting.
    """
    checked = ServerSettings.of(settings)
    application = Application(ServedModels(as_names(models), checked), checked)
    return with_cors(application, checked)


def with_cors(application: Application, settings: ServerSettings) -> Any:
    """Return the application, with the headers that let pages of other origins call it where they are asked for."""
    if not settings.cors:
        return application
    from starlette.datastructures import Headers as ScopeHeaders
    from starlette.middleware.cors import CORSMiddleware

    class CountedCors(CORSMiddleware):
        """Counts the questions that browsers ask before a call, which never reach the application."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = ScopeHeaders(scope=scope) if scope["type"] == "http" and scope["method"] == "OPTIONS" else {}
            if "origin" not in headers or "access-control-request-method" not in headers:
                await super().__call__(scope, receive, send)
                return
            start = time.perf_counter()
            response = self.preflight_response(request_headers=headers)  # type: ignore[arg-type]
            await response(scope, receive, send)
            application.note(scope, response.status_code, time.perf_counter() - start)

    return CountedCors(
        application,
        allow_origins=list(settings.cors),
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-api-key", "x-request-timeout-ms", "x-request-priority"],
        expose_headers=["x-compute-tokens", "x-windows", "x-model", "server-timing", "retry-after"],
    )  # fmt: skip


class Application:
    """The application.

    Args:
        models: that answer.
        settings: of the server.
        processes: how many share the port, for figures over all of them.

    Attributes:
        service: what answers, once the application has started.
        metrics: the figures.
    """

    def __init__(self, models: ServedModels, settings: ServerSettings, processes: int = 1) -> None:
        self.settings, self.models = settings, models
        self.table = RouteTable(all_routes())
        self.metrics = ServerMetrics(self.table.labels, models.by_name, TASKS, processes)
        self.service = AnsweringService(models, settings, self.metrics)
        self.service.route_list = self.table.routes
        self._keys = [key.encode() for key in settings.api_keys]
        self._trace: Trace | None = None
        self._log = AccessLog() if settings.log_format == "json" else None
        if self._log is not None:
            self.service.on_tick = self._log.flush
        self._start: asyncio.Future[None] | None = None

    def reload_all_soon(self) -> None:
        """Read all models again that are in memory; from a handler of a signal."""
        self.service.reload_all_soon()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop with the server."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                if self.service.is_draining:  # the server has no time left to end in order
                    return
                raise
            if message["type"] == "lifespan.startup":
                try:
                    await self._start_once()
                except Exception as error:
                    if not isinstance(error, DistilBertError):
                        logger.exception("The server could not start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.service.stop()
                if self._log is not None:
                    self._log.flush()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start_once(self) -> None:
        """Start, unless that was done; a server that does not speak of its life starts with its first request."""
        if self._start is None:
            self._start = asyncio.ensure_future(self._begin())
        await asyncio.shield(self._start)

    async def _begin(self) -> None:
        await self.service.start()
        self._trace = open_traces()
        self.service.keeps_steps = self._trace is not None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = self.settings
        if not self.service.is_ready and not self.service.is_draining:
            await self._start_once()
        exchange = Exchange(scope, receive, send, settings.max_body, settings.slow_client_timeout)
        method = scope["method"]
        route, exchange.path_values = self.table.find(method, scope["path"])
        style = "native" if route is None else route.style
        try:
            if route is None:
                reply = self._no_route(method, scope["path"])
            else:
                if self._keys and route.needs_key:
                    self._check_key(exchange)
                exchange.check_encoding()
                reply = await route.handler(self.service, exchange)
        except RequestError as error:
            reply = error_reply(error, style)
        except asyncio.CancelledError:
            if not self.service.is_draining:
                raise
            reply = error_reply(RequestError("The server is stopping.", 503, "unhealthy"), style)
        except Exception:
            logger.exception("A request to %s failed", self._label(scope))
            reply = error_reply(RequestError("An internal error; the server's log has it.", 500, "internal"), style)
        if method != "POST" or reply.status != 200:
            reply.headers += ALWAYS
        if self.service.is_draining or reply.status in (408, 413, 415):
            reply.headers.append((b"connection", b"close"))
        try:
            if reply.status != CLIENT_GONE and not exchange.is_gone:
                await exchange.send(reply)
        except RequestError:  # a stream whose client has gone
            pass
        except asyncio.CancelledError:  # a stream that a stopping server gives up
            if not self.service.is_draining:
                raise
        if self._trace is not None:
            self._trace(exchange, self._label(scope) if route is None else route.label, reply.status)
        fields = {"model": exchange.model, "inputs": exchange.inputs, "tokens": exchange.tokens}
        self.note(scope, reply.status, time.perf_counter() - exchange.arrived, fields, route)

    def note(
        self,
        scope: Scope,
        status: int,
        seconds: float,
        fields: dict[str, Any] | None = None,
        route: Route | None = None,
    ) -> None:
        """Count a request that was answered, and write its line into the log.

        Args:
            scope: of the request.
            status: of the answer.
            seconds: that it took.
            fields: what else the log says of it.
            route: that answered; None: it is looked up by the path, whatever the method.
        """
        label = self._label(scope) if route is None else route.label
        self.metrics.count("distilbert_requests", label, STATUS_TEXTS[status])
        if self._log is not None:
            client = {"client": scope["client"][0]} if scope.get("client") else {}
            self._log.write(scope["method"], label, status, seconds, (fields or {}) | client)

    def _label(self, scope: Scope) -> str:
        routes = self.table.routes_of(scope["path"])
        return routes[0].label if routes else OTHER

    def _no_route(self, method: str, path: str) -> Reply:
        methods = [route.method for route in self.table.routes_of(path)]
        if methods:
            reply = error_reply(
                RequestError(f"This path takes {', '.join(methods)}, not {method[:20]}.", 405, "method"), "native"
            )
            reply.headers.append((b"allow", ", ".join(methods).encode()))
            return reply
        return error_reply(
            RequestError("There is no such path; GET /openapi.json lists all.", 404, "not_found"), "native"
        )

    def _check_key(self, exchange: Exchange) -> None:
        """Compare the key of a request with all keys, in constant time.

        Raises:
            RequestError: it is none of them.
        """
        scheme, _, token = exchange.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            token = exchange.headers.get(b"x-api-key", b"")
        token = token.strip()
        matches = [hmac.compare_digest(token, key) for key in self._keys]
        if not any(matches):
            raise RequestError(
                "This server needs a key: send the header 'Authorization: Bearer KEY'.", 401, "unauthorized"
            )


def error_reply(error: RequestError, style: str) -> Reply:
    """Return the reply to a request that fails, in the form that clients of a route know."""
    message, status = str(error), error.status
    value: dict[str, Any]
    if style == "openai":
        kind = OPENAI_KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        value = {"error": {"message": message, "type": kind, "param": None, "code": error.kind}}
    elif style == "cohere":
        value = {"message": message}
    elif style == "kserve":
        value = {"error": message}
    else:
        value = {"error": message, "error_type": error.kind}
    headers: Headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return Reply(to_json(value), status, headers=headers)


def all_routes() -> list[Route]:
    """Return all routes."""
    routes = [
        Route("POST", f"/v1/{name}", task_handler(spec.name), task=spec.name, name=f"/v1/{spec.name}")
        for spec in TASKS.values()
        for name in (spec.name, *spec.aliases)
    ]
    routes += [
        Route("GET", "/", server_routes.page, needs_key=False),
        Route("GET", "/v1/models", server_routes.models),
        Route("GET", "/v1/models/{name:path}", server_routes.one_model, name="/v1/models/{name}"),
        Route("POST", "/v1/models/{name:path}/reload", server_routes.reload_model, name="/v1/models/{name}/reload"),
        Route("GET", "/health", server_routes.health, needs_key=False),
        Route("GET", "/ping", server_routes.health, needs_key=False),
        Route("GET", "/health/live", server_routes.live, needs_key=False),
        Route("GET", "/health/ready", server_routes.health, needs_key=False),
        Route("GET", "/metrics", server_routes.metrics),
        Route("GET", "/info", server_routes.info),
        Route("GET", "/openapi.json", server_routes.openapi, needs_key=False),
        *tei_routes.ROUTES,
        *openai_routes.ROUTES,
        *rerank_routes.ROUTES,
        *inference_protocol_routes.ROUTES,
        *hub_routes.ROUTES,
    ]
    return routes
