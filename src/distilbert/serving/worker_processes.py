"""One or several processes behind one port.

With several, the first process loads the models and forks the others, so the weights are in memory once. It answers
nothing itself: it starts a process again that died, passes on signals and waits. On Linux each process has a socket of
its own on the port, over which the system spreads the connections; the first process keeps these sockets open, so
connections that wait at one whose process died are taken by the next.
"""

from __future__ import annotations

import gc
import ipaddress
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..core.errors import InputError
from ..engine.precision import pick_threads
from .access_log import set_up_log
from .application import Application
from .http_server import FORCED, SIGNALS, Listener, open_listener, run_server
from .served_models import ServedModels
from .server_settings import ServerSettings

MOST_EARLY_DEATHS = 5  # in a row, of processes that did not live for a while
A_WHILE = 5.0  # seconds
POLL = 0.05  # seconds between two looks at the processes

logger = logging.getLogger("distilbert.serving")


def serve(names: Sequence[str], settings: ServerSettings, host: str, port: int, workers: int = 1) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code.

    Args:
        names: of the models; see :class:`.ServedModels`.
        settings: of the server.
        host: address to listen on.
        port: to listen on.
        workers: processes that share the port.

    Raises:
        InputError: several processes are asked for, and this system cannot fork.
        DistilBertError: a model cannot be loaded.
        OSError: the port is not free.
    """
    if workers > 1 and not hasattr(os, "fork"):
        raise InputError("workers= needs a system that can fork processes; start several servers on other ports.")
    set_up_log(settings.log_format)
    if workers > 1 and settings.threads is None:
        settings = replace(settings, threads=max(1, pick_threads(None) // workers))
    models = ServedModels(names, settings)
    has_own_sockets = workers > 1 and sys.platform == "linux"
    if has_own_sockets and port:
        open_listener(host, port).close()  # fails if another server has the port, which sockets that share it would not
    listeners = [open_listener(host, port, shared=has_own_sockets)]
    address, number = listeners[0].getsockname()[:2]
    while has_own_sockets and len(listeners) < workers:
        listeners.append(open_listener(host, number, shared=True))
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server runs: the models are being read anyway
    models.load_at_start()
    shown = f"[{address}]" if ":" in address else address
    logger.info("serving %s on http://%s:%d", ", ".join(models.by_name), shown, number)
    if not settings.api_keys and not ipaddress.ip_address(address).is_loopback:
        logger.warning("anyone who reaches this address may use the server: it has no --api-key")
    application = Application(models, settings, workers)
    if workers == 1:
        return run_server(application, listeners[0])
    return ProcessGroup(application, listeners, workers).run()


class ProcessGroup:
    """The processes of a server, and the one that watches them.

    Args:
        application: that each of them serves.
        listeners: a socket for each, or one for all.
        workers: how many there are.
    """

    def __init__(self, application: Application, listeners: list[Listener], workers: int) -> None:
        self._application, self._listeners = application, listeners
        self._processes: dict[int, int] = {}  # process id -> its row among the figures
        self._started = [0.0] * workers
        self._early_deaths, self._is_stopping, self._is_forced, self._must_reload = 0, False, False, False

    def run(self) -> int:
        """Start the processes, whose models are loaded, and keep them running until SIGTERM or Ctrl-C.

        Returns:
            The exit code.
        """
        gc.collect()
        gc.freeze()  # what was loaded stays as it is, so that the processes go on sharing it
        handlers = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop, signal.SIGHUP: self._reload_soon}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            for row in range(len(self._started)):
                self._start(row)
            while self._processes:
                self._watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._is_forced:
            return FORCED
        return 1 if self._early_deaths >= MOST_EARLY_DEATHS else 0

    def _start(self, row: int) -> None:
        """Start a process, unless the server stops.

        Signals are held back meanwhile: here until the new process is among those that they are passed on to, and there
        until its server has started and follows them.
        """
        held = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if self._is_stopping:
                return
            process = os.fork()
            if process == 0:
                code = 1
                try:
                    code = self._serve_in_child(row)
                except BaseException:
                    logger.exception("A process of the server failed")
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            self._processes[process], self._started[row] = row, time.monotonic()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _serve_in_child(self, row: int) -> int:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # the handlers of this object are for the process that watches
        own = self._listeners[row % len(self._listeners)]
        for listener in self._listeners:
            if listener is not own:
                listener.close()
        parent = os.getppid()
        self._application.metrics.use_row(row)
        self._application.service.join_group(parent)
        return run_server(self._application, own)

    def _watch(self) -> None:
        """Wait a little; start again what has died; pass on what was asked meanwhile."""
        process, status = os.waitpid(-1, os.WNOHANG)
        if process in self._processes:
            row = self._processes.pop(process)
            if not self._is_stopping:
                self._restart(row, os.waitstatus_to_exitcode(status))
            return
        if self._must_reload and not self._is_stopping:
            self._must_reload = False
            self._reload()
        time.sleep(POLL)

    def _restart(self, row: int, code: int) -> None:
        is_early = time.monotonic() - self._started[row] < A_WHILE
        self._early_deaths = self._early_deaths + 1 if is_early else 0
        if self._early_deaths >= MOST_EARLY_DEATHS:
            logger.error("the processes of the server die as soon as they start; it stops")
            self._stop()
            return
        logger.error("a process of the server ended with code %d; another takes its place", code)
        self._start(row)

    def _reload(self) -> None:
        """Read the models again, for processes that start later, and let those that run do the same."""
        models = self._application.models
        for model in models.by_name.values():
            try:
                models.reload(model, only_loaded=True)
            except Exception as error:
                logger.error("The model %s cannot be read again: %s It goes on with what it had.", model.name, error)
        gc.freeze()
        self._signal(signal.SIGHUP)

    def _reload_soon(self, *_: Any) -> None:
        self._must_reload = True

    def _stop(self, number: int = signal.SIGTERM, *_: Any) -> None:
        self._is_forced = self._is_forced or (self._is_stopping and number == signal.SIGINT)
        self._is_stopping = True
        self._signal(signal.SIGINT if self._is_forced else signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in list(self._processes):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
