"""uvicorn around the application: connections of slow clients are closed, SIGTERM lets every request end first."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .application import Application, with_cors
from .http_exchange import to_json
from .server_metrics import ServerMetrics

KEEP_ALIVE = 75.0  # seconds that a connection may be idle between two requests
GRACE = 1.0  # seconds in which a stopping server still takes requests of open connections
LONGEST_DRAIN = 60  # seconds after which a stopping server gives up requests that have no answer
LARGEST_HEAD = 65_536  # bytes of a request's first line and headers
HEAD_STEP = 16_384  # bytes of them that are read at a time
FORCED = 130  # the exit code after a second Ctrl-C, as shells have it
SWEEP = 1.0  # seconds between two looks at the connections
GC_THRESHOLDS = (20_000, 20, 20)  # a request makes some fifty objects, of which hardly any is in a cycle
# Seconds after which a thread that holds the interpreter lets others on. With a quarter of this, a request takes 15 us
# of CPU more; with Python's own 5 ms, a request may wait that long for the event loop.
SWITCH_INTERVAL = 0.002

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
Listener: TypeAlias = socket.socket
logger = logging.getLogger("distilbert.serving")


class JoinedWrites:
    """A transport that sends the head of a response together with the beginning of its body: one call of the system.

    Args:
        transport: that it stands for.
    """

    __slots__ = ("_head", "_is_joined", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._head, self._is_joined = transport, b"", False

    def write(self, data: bytes) -> None:
        """See :class:`asyncio.WriteTransport`."""
        if self._is_joined or data.startswith(b"HTTP/1.1 100"):
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            self._is_joined = True
            self._transport.write(self._head + data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class WatchedConnection(HttpToolsProtocol):
    """A connection that knows since when it waits for its client, limits headers, and ignores upgrades.

    Args:
        arguments: of uvicorn's.
        metrics: where requests are counted that cannot be read.
        options: of uvicorn's.

    Attributes:
        headers_since: when the headers that are not complete began, or the connection, or when an answer was sent while
            the rest of its request was still to come; None: they are complete.
        writing_since: when the client stopped reading its answer; None: it reads.
    """

    headers_since: float | None = None
    writing_since: float | None = None
    url = b""
    _is_in_head, _head_size, _is_refused = True, 0, False
    _asks_for_upgrade, _is_repeating = False, False

    def __init__(self, *arguments: Any, metrics: ServerMetrics, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._metrics = metrics

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.Protocol`."""
        self.headers_since = self.loop.time()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._unset_keepalive_if_required()
        while data and not self._is_refused and not self.transport.is_closing():
            was_in_head = self._is_in_head
            piece = data[:HEAD_STEP] if was_in_head else data
            try:
                size = self._parse(piece)
            except httptools.HttpParserError:
                self._metrics.count("distilbert_unreadable_requests", "syntax")
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
                return
            data = data[size:]
            if was_in_head and self._is_in_head:
                self._head_size += size
                if self._head_size > LARGEST_HEAD:
                    self._refuse_head()

    def _parse(self, data: bytes) -> int:
        """Parse what has come, and return how many bytes of it were read."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade()
            return int(upgrade.args[0])
        return len(data)

    def _refuse_head(self) -> None:
        """Answer that there is too much before the body, and drop what still comes until the client has read that."""
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:  # the request before, which is answered first
            self.cycle.keep_alive = False
            return
        is_url = len(self.url) > LARGEST_HEAD // 2
        status = b"414 URI Too Long" if is_url else b"431 Request Header Fields Too Large"
        message = f"{'The URL is' if is_url else 'The headers are'} longer than {LARGEST_HEAD:,} bytes."
        self._metrics.count("distilbert_unreadable_requests", "url" if is_url else "headers")
        self.logger.warning(message)
        body = to_json({"error": message, "error_type": "validation"})
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, len(body), body)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _go_on_without_upgrade(self) -> None:
        """Read the body of a request that asks for another protocol, such as HTTP/2, which is not spoken here.

        The parser has stopped after the headers. A new one takes its place, which is told how the body is sent.
        """
        self._asks_for_upgrade = False
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # httptools before 0.6.3 has no need of it
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        about_body = (b"content-length", b"transfer-encoding")
        lines = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name in about_body]
        self._is_repeating = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(lines))
        finally:
            self._is_repeating = False

    def on_message_begin(self) -> None:
        """Headers begin."""
        if self._is_repeating:
            return
        self.headers_since, self._head_size = self.loop.time(), 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the URL has come."""
        if not self._is_repeating:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is complete."""
        if not self._is_repeating:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Headers are complete."""
        if self._is_repeating:
            return
        self.headers_since, self._is_in_head = None, False
        self._asks_for_upgrade = self.parser.should_upgrade()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self._asks_for_upgrade:  # it was skipped
            return
        self._is_in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is sent, perhaps before the body of its request was read, as with a path that does not exist."""
        if self.cycle.response_complete and self.cycle.more_body:
            self.headers_since = self.loop.time()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if cycle.scope["method"] == "POST":  # to which every response has a body
            cycle.transport = JoinedWrites(cycle.transport)
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        self.writing_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self.writing_since = None
        super().resume_writing()

    def is_late(self, before: float) -> bool:
        """Whether the client should have sent its headers, or read its answer, before that moment."""
        return any(since is not None and since < before for since in (self.headers_since, self.writing_since))


class DrainingServer(uvicorn.Server):
    """uvicorn's server that ends with exit code 0 on SIGTERM, after all requests have their answers.

    Args:
        config: of uvicorn.
        application: that is served.
        on_hangup: is called on SIGHUP.
    """

    def __init__(self, config: uvicorn.Config, application: Application, on_hangup: Callable[[], None]) -> None:
        super().__init__(config)
        self._application, self._on_hangup = application, on_hangup
        self._sweeper: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and Ctrl-C; uvicorn would raise the signal again when all is done."""
        if threading.current_thread() is not threading.main_thread():  # which alone gets signals
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        if hasattr(signal, "SIGHUP"):
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: self._on_hangup())
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        if self.should_exit and number == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and look after the connections from now on."""
        await super().startup(sockets)
        # Vocabularies and modules live as long as the process: the collector need not look at them again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        self._sweeper = asyncio.ensure_future(self._close_late_connections())
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # one of several processes holds them back until now

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, tell clients to close theirs, and answer what was asked."""
        self._application.service.is_draining = True
        for server in self.servers:
            server.close()
        end = asyncio.get_running_loop().time() + GRACE
        while self.server_state.connections and asyncio.get_running_loop().time() < end and not self.force_exit:
            await asyncio.sleep(0.02)
        if self._sweeper is not None:
            self._sweeper.cancel()
        await super().shutdown(sockets)
        if self.force_exit:
            await self._give_up()

    async def _give_up(self) -> None:
        """Close all connections, and end what is answered."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.02)  # until the connections know
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)

    async def _close_late_connections(self) -> None:
        allowed = self._application.settings.slow_client_timeout
        while True:
            await asyncio.sleep(min(SWEEP, allowed / 2))
            before = asyncio.get_running_loop().time() - allowed
            for connection in list(self.server_state.connections):
                if isinstance(connection, WatchedConnection) and connection.is_late(before):
                    connection.transport.abort()


def run_server(application: Application, listener: socket.socket) -> int:
    """Serve until SIGTERM or Ctrl-C, and return the exit code.

    Args:
        application: that answers.
        listener: the socket.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    server = make_server(application)
    server.run(sockets=[listener])
    if server.force_exit:
        return FORCED
    return 0 if server.started else 1


def make_server(application: Application) -> DrainingServer:
    """Return uvicorn's server around an application."""
    config = uvicorn.Config(
        with_cors(application, application.settings),
        http=cast(Any, partial(WatchedConnection, metrics=application.metrics)),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=LONGEST_DRAIN,
        backlog=2048,
    )
    return DrainingServer(config, application, application.reload_all_soon)


def open_listener(host: str, port: int, shared: bool = False) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: address or name.
        port: 0 for any that is free.
        shared: other sockets may listen on the same port, and the system spreads connections over them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener
