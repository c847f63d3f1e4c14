"""Lines of standard input, with a way to ask whether the next one is there yet."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

CHUNK = 1 << 16


class LineSource:
    """Lines from a file descriptor, read without a thread, so that Ctrl-C always works.

    Args:
        descriptor: where to read from: a pipe, a terminal or a file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []  # whole lines, the next one last
        self._rest: list[bytes] = []  # pieces of the line that is still coming
        self._ended = False
        self._first = True

    def ready(self) -> bool:
        """Tell whether the next line, or the end, can be had without waiting."""
        while not self._lines and not self._ended:
            if os.name == "nt" or not select.select([self._descriptor], [], [], 0)[0]:
                return False
            self._fill()
        return True

    def __iter__(self) -> Iterator[str]:
        while True:
            while not self._lines and not self._ended:
                self._fill()
            if not self._lines:
                return
            line = self._lines.pop().decode("utf-8", errors="surrogateescape")
            if self._first:
                line, self._first = line.removeprefix("\ufeff"), False
            yield line

    def _fill(self) -> None:
        chunk = os.read(self._descriptor, CHUNK)
        self._ended = not chunk
        self._rest.append(chunk)
        if self._ended or b"\n" in chunk:
            *lines, rest = b"".join(self._rest).split(b"\n")
            lines = [line + b"\n" for line in lines]
            if self._ended and rest:
                lines.append(rest)
            self._rest = [rest]
            self._lines = lines[::-1]
