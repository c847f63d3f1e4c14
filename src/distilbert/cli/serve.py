"""``distilbert serve``: all tasks of models over HTTP."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from ..core.errors import InputError, UsageError

EXAMPLE = r"""
distilbert serve --port 8080 &
curl http://127.0.0.1:8080/v1/text-classification -d '{"inputs": "What a film!"}'
"""
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class LogFormat(StrEnum):
    """Values of ``--log-format``."""

    text = "text"
    json = "json"


class ServedPrecision(StrEnum):
    """Values of ``--precision``."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    int8 = "int8"


def _option(name: str, text: str, **options: Any) -> Any:
    return typer.Option(name, help=text, **{"show_default": False} | options)


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Folders, installed names, or name=folder. Default: the installed default models.",
        ),
    ] = None,
    host: Annotated[str, _option("--host", "Address to listen on.", show_default=True)] = "127.0.0.1",
    port: Annotated[int, _option("--port", "Port to listen on; 0: any that is free.", show_default=True)] = 8080,
    workers: Annotated[int, _option("--workers", "Processes that share the port.", show_default=True)] = 1,
    threads: Annotated[int | None, _option("--threads", "Threads that each process computes with.")] = None,
    precision: Annotated[ServedPrecision | None, _option("--precision", "Type to compute in; default: auto.")] = None,
    max_tokens_queued: Annotated[
        int | None,
        _option("--max-tokens-queued", "Tokens that may wait before a request; default: a second's work."),
    ] = None,
    timeout: Annotated[
        float, _option("--timeout", "Seconds in which a request must be answered.", show_default=True)
    ] = 30.0,
    api_key: Annotated[
        list[str] | None,
        _option("--api-key", "A key that requests need; repeatable. Better: the variable DISTILBERT_API_KEY."),
    ] = None,
    cors: Annotated[
        list[str] | None, _option("--cors", "An origin whose pages may call, or *; repeatable. Default: none.")
    ] = None,
    memory_limit: Annotated[
        str | None, _option("--memory-limit", "Memory that models may take together, such as 2G.")
    ] = None,
    idle_unload: Annotated[
        float | None, _option("--idle-unload", "Seconds without a request after which a model leaves the memory.")
    ] = None,
    log_format: Annotated[
        LogFormat, _option("--log-format", "text, or json with a line for each request.", show_default=True)
    ] = LogFormat.text,
) -> int:
    """Answer all tasks of models over HTTP, with dynamic batches.

    A request needs no model's name where one model can do its task. GET / is a page to try it, GET /openapi.json lists
    all routes, GET /metrics is for Prometheus. SIGTERM ends the server after the last answer, SIGHUP reads the models
    again.
    """
    from ..core.extras import require

    for module in ("uvicorn", "starlette", "orjson", "httptools"):
        require(module, "serve")
    from ..serving.server_settings import ServerSettings
    from ..serving.worker_processes import serve

    if workers < 1:
        raise UsageError(f"--workers must be at least 1, got {workers}.")
    if not 0 <= port < 65536:
        raise UsageError(f"--port must be a number from 0 to 65535, got {port}.")
    values = {
        "threads": threads,
        "precision": precision.value if precision else None,
        "max_tokens_queued": max_tokens_queued,
        "timeout": timeout,
        "api_keys": api_key,
        "cors": cors,
        "memory_limit": _bytes(memory_limit),
        "idle_unload": idle_unload,
        "log_format": log_format.value,
    }
    try:
        settings = ServerSettings.of(values)
    except InputError as error:
        name, _, rest = str(error).partition(" ")
        raise UsageError(f"--{name.replace('_', '-')} {rest}" if name in values else str(error)) from None
    return serve(models or [], settings, host, port, workers)


def _bytes(text: str | None) -> int | None:
    """Return the bytes of a size such as ``2G``."""
    if text is None:
        return None
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in UNITS else ""
    try:
        size = int(float(number.removesuffix(unit)) * UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise UsageError(f"--memory-limit must be a size such as 500M or 2G, got {text!r}.")
    return size
