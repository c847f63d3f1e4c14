"""Ctrl-C and SIGTERM while ``distilbert index`` works: what is done can be kept, and is counted right."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from ..core.errors import Interrupted

HANDLED = (signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


class Interruptions:
    """The first Ctrl-C or SIGTERM raises :class:`Interrupted`, at once or after a block of :meth:`held_back`.

    Later ones are ignored, as what is done is being kept then; ``timeout`` sends two. Use it as a context. It does
    nothing outside the main thread, where Python does not deliver signals, and leaves the handlers of the surrounding
    program alone.
    """

    def __init__(self) -> None:
        self._replaced: dict[int, Any] = {}
        self._received: signal.Signals | None = None
        self._is_held_back = self._is_ignored = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                handler = signal.getsignal(number)
                if handler in DEFAULTS:
                    self._replaced[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let the block end before a signal has its effect."""
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self._received is not None:
            raise Interrupted("interrupted", self._received)

    def ignore(self) -> None:
        """Ignore signals from now on: the work is about to end."""
        self._is_ignored = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received is not None or self._is_ignored:
            return
        self._received = signal.Signals(number)
        if not self._is_held_back:
            raise Interrupted("interrupted", self._received)
