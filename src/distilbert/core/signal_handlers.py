"""Handlers of Ctrl-C and SIGTERM that hold for a block."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from types import FrameType, TracebackType
from typing import Any, Self

HANDLED = (signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


class SignalHandlers(ABC):
    """Calls :meth:`_handle` at Ctrl-C and SIGTERM. Use it as a context.

    It does nothing outside the main thread, where Python does not deliver signals, and leaves the handlers of the
    surrounding program alone.

    Attributes:
        received: for subclasses, the first signal; None until there is one.
    """

    def __init__(self) -> None:
        self._replaced: dict[int, Any] = {}
        self.received: signal.Signals | None = None

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
        self._restore()

    @abstractmethod
    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""

    def _restore(self) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        self._replaced = {}
