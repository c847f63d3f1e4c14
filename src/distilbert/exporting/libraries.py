"""Imports and calls the exporters' libraries without their messages, and without reports to their makers."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

from ..core.extras import require

EXTRA = "export"
TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Keep OpenVINO and NNCF from opening a connection, which they do on import and at work to report their use.

    Both run without the module that reports, so inside this block it cannot be imported.
    """
    missing = object()
    before = sys.modules.get(TELEMETRY, missing)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is missing:
            del sys.modules[TELEMETRY]
        else:
            sys.modules[TELEMETRY] = before  # type: ignore[assignment]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, log lines and progress bars of libraries. Errors pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def import_openvino() -> ModuleType:
    """Import OpenVINO.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _import("openvino")


def import_nncf() -> ModuleType:
    """Import NNCF, which quantizes for OpenVINO.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _import("nncf")


def _import(name: str) -> ModuleType:
    if name in sys.modules:  # quiet() redirects standard output of all threads, so it is used on first import alone
        return require(name, EXTRA)
    with offline(), quiet():
        return require(name, EXTRA)
