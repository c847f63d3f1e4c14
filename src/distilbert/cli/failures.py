"""What can go wrong in a command: exit codes, and one plain line on standard error for each failure."""

from __future__ import annotations

import os
import sys

OK, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a message that says what is kept and how to go on."""


def warn(message: str) -> None:
    """Print one message on standard error; a closed standard error is not worth failing for."""
    try:
        print(f"distilbert: {message}", file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr.fileno())


def silence(descriptor: int) -> None:
    """Point a stream whose reader has gone to nowhere, so that the interpreter's last flush does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def explain(error: BaseException) -> str:
    """Return the message of an error; an ``OSError`` of the system names its file and reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__
