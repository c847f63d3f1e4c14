"""Ctrl-C and SIGTERM during training: the step is finished and a checkpoint written, so that nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

HANDLED = (signal.SIGINT, signal.SIGTERM)
DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)


class StopSignals:
    """Remembers the first Ctrl-C or SIGTERM instead of stopping at once; the second one stops.

    Use it as a context. It does nothing outside the main thread, where Python does not deliver signals, and leaves the
    handlers of the surrounding program alone.

    Args:
        on_first: called at the first signal, to say what happens now.

    Attributes:
        received: the first signal; None until there is one.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
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

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        self._on_first()

    def _restore(self) -> None:
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        self._replaced = {}
