"""Which function answers which path. Exact paths are looked up; only paths with a variable place are searched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.routing import compile_path

from .answering_service import AnsweringService
from .http_exchange import Exchange, Reply

Handler: TypeAlias = Callable[[AnsweringService, Exchange], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """A path and what answers it.

    Attributes:
        method: of HTTP.
        path: with ``{name}`` at variable places.
        handler: answers.
        style: whose form errors have: ``"native"``, ``"openai"``, ``"cohere"`` or ``"kserve"``.
        needs_key: whether a server with keys asks for one.
        task: that it answers, for the description.
        name: its name among the figures; several paths of one thing share it.
    """

    method: str
    path: str
    handler: Handler
    style: str = "native"
    needs_key: bool = True
    task: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """Name of the route among the figures."""
        return self.name or self.path


class RouteTable:
    """All routes of a server.

    Args:
        routes: the routes.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact = {(route.method, route.path): route for route in self.routes if "{" not in route.path}
        self._patterns: list[tuple[Any, Route]] = [
            (compile_path(route.path)[0], route) for route in self.routes if "{" in route.path
        ]

    @property
    def labels(self) -> list[str]:
        """Names of the routes among the figures, and one for paths that do not exist."""
        return [*dict.fromkeys(route.label for route in self.routes), OTHER]

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        """Return the route of a path, and what stands at its variable places."""
        if method == "HEAD":
            method = "GET"
        route = self._exact.get((method, path))
        if route is not None:
            return route, {}
        for pattern, route in self._patterns:
            if route.method == method and (match := pattern.match(path)):
                return route, match.groupdict()
        return None, {}

    def routes_of(self, path: str) -> list[Route]:
        """Return the routes of a path, of all methods."""
        exact = [route for (_, each), route in self._exact.items() if each == path]
        return exact + [route for pattern, route in self._patterns if pattern.match(path)]


OTHER = "other"
