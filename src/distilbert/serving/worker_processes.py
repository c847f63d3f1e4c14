"""One or several processes behind one port."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence

from .access_log import set_up_log
from .application import Application
from .http_server import open_listener, run_server
from .served_models import ServedModels
from .server_settings import ServerSettings

logger = logging.getLogger("distilbert.serving")


def serve(names: Sequence[str], settings: ServerSettings, host: str, port: int, workers: int = 1) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code.

    Args:
        names: of the models; see :class:`.ServedModels`.
        settings: of the server.
        host: address to listen on.
        port: to listen on.
        workers: processes that share the port.
    """
    set_up_log(settings.log_format)
    models = ServedModels(names, settings)
    listener = open_listener(host, port)
    address, number = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    logger.info("serving %s on http://%s:%d", ", ".join(models.by_name), shown, number)
    if not settings.api_keys and not ipaddress.ip_address(address).is_loopback:
        logger.warning("anyone who reaches this address may use the server: it has no --api-key")
    return run_server(Application(models, settings), listener)
