"""Ctrl-C and SIGTERM while ``distilbert index`` works: what is done can be kept, and is counted right."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..core.errors import Interrupted
from ..core.signal_handlers import SignalHandlers


class Interruptions(SignalHandlers):
    """The first Ctrl-C or SIGTERM raises :class:`Interrupted`, at once or after a block of :meth:`held_back`.

    Later ones are ignored, as what is done is being kept then; ``timeout`` sends two.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_held_back = self._is_ignored = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let the block end before a signal has its effect."""
        self._is_held_back = True
        try:
            yield
        finally:
            self._is_held_back = False
        if self.received is not None:
            raise Interrupted("interrupted", self.received)

    def ignore(self) -> None:
        """Ignore signals from now on: the work is about to end."""
        self._is_ignored = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None or self._is_ignored:
            return
        self.received = signal.Signals(number)
        if not self._is_held_back:
            raise Interrupted("interrupted", self.received)
