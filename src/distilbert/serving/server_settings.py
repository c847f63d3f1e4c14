"""What a server was asked for: limits, keys, times."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from ..core.errors import InputError, UnknownArgumentError, suggest
from ..tasks.batching import BATCH_TOKENS
from ..tasks.checks import check_choice, check_count

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s@A-Z]+")  # as browsers send it: no path, and in lower case
LOG_FORMATS = ("text", "json")
API_KEY_VARIABLE = "DISTILBERT_API_KEY"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of a server.

    Attributes:
        threads: that the engine computes with; None: as many as there are cores, or as ``OMP_NUM_THREADS`` says.
        precision: that models run in, as for :func:`~distilbert.pipeline`; None: ``"auto"``.
        batch_tokens: most tokens of a batch. A sequence that is longer is a batch of its own.
        max_tokens_queued: most tokens that may stand before a request; None: what the models answer in a second.
        timeout: seconds in which a request must be answered, where its header ``x-request-timeout-ms`` says nothing.
        api_keys: a request needs one of them; empty: none is needed.
        cors: origins whose pages may call; ``"*"``: all.
        memory_limit: bytes that models may take together; None: no limit.
        idle_unload: seconds without a request after which a model leaves the memory; None: never.
        log_format: ``"text"``: what happens to the server, in words; ``"json"``: that and every request, as objects.
        max_body: bytes of the longest body of a request.
        max_items: inputs of a request.
        max_characters: characters of the longest text.
        slow_client_timeout: seconds in which a client must have sent headers, or the body, and read its answer.
    """

    threads: int | None = None
    precision: str | None = None
    batch_tokens: int = BATCH_TOKENS
    max_tokens_queued: int | None = None
    timeout: float = 30.0
    api_keys: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    memory_limit: int | None = None
    idle_unload: float | None = None
    log_format: str = "text"
    max_body: int = 32 * 2**20
    max_items: int = 10_000
    max_characters: int = 1_000_000
    slow_client_timeout: float = 20.0

    def __post_init__(self) -> None:
        for name in ("threads", "max_tokens_queued", "memory_limit"):
            check_count(getattr(self, name), name, optional=True)
        for name in ("batch_tokens", "max_body", "max_items", "max_characters"):
            check_count(getattr(self, name), name)
        for name in ("timeout", "idle_unload", "slow_client_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1e9:
                raise InputError(f"{name} must be a number of seconds above 0, got {value!r}.")
        check_choice(self.log_format, LOG_FORMATS, "log_format")
        for origin in self.cors:
            if not (isinstance(origin, str) and (origin == "*" or ORIGIN.fullmatch(origin))):
                raise InputError(f"cors must be an origin such as https://example.com, or *; got {origin!r}.")
        if not all(isinstance(key, str) and key.isascii() and key.strip() == key != "" for key in self.api_keys):
            raise InputError("An API key must be ASCII text without spaces around it, and not empty.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return settings of keyword arguments.

        Keys of the environment variable ``DISTILBERT_API_KEY`` count where none are given; commas separate several.

        Raises:
            UnknownArgumentError: there is no such setting.
            InputError: a value cannot work.
        """
        names = [field.name for field in fields(cls)]
        for name in values:
            if name not in names:
                raise UnknownArgumentError(f"create_app() got an unknown argument {name!r}.{suggest(name, names)}")
        arguments = dict(values)
        for name in ("api_keys", "cors"):
            arguments[name] = as_names(arguments.get(name))
        if not arguments["api_keys"]:
            arguments["api_keys"] = as_names(
                [key.strip() for key in os.environ.get(API_KEY_VARIABLE, "").split(",") if key.strip()]
            )
        return cls(**arguments)


def as_names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one text, several or none as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
