"""Failures of a command: exit codes, and one plain line on standard error for each."""

from __future__ import annotations

import os
import signal
import sys

from ..core.errors import Interrupted
from ..core.terminal_text import printable

OK, FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141


def interrupted(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that a signal ended: 128 and its number, as shells have it."""
    return 128 + (error.signal if isinstance(error, Interrupted) else signal.SIGINT)


def warn(message: str) -> None:
    """Print one message on standard error; if that is closed, print nothing and go on."""
    try:
        print(f"distilbert: {printable(message)}", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr.fileno())


def silence(descriptor: int) -> None:
    """Send a stream without a reader to the null device, so that the last flush of the interpreter does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def explain(error: BaseException) -> str:
    """Return the message of an error; for an ``OSError`` of the system, its file and reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__
