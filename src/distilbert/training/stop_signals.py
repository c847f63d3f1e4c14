"""Ctrl-C and SIGTERM during training: the step is finished and a checkpoint written, so that nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

from ..core.signal_handlers import SignalHandlers


class StopSignals(SignalHandlers):
    """Remembers the first Ctrl-C or SIGTERM instead of stopping at once; the second one stops.

    Args:
        on_first: called at the first signal, to say what happens now.

    Attributes:
        received: the first signal; None until there is one.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        super().__init__()
        self._on_first = on_first

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number)
        self._on_first()
