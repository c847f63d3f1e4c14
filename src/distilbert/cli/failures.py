"""Failures of a command: exit codes, and one plain line on standard error for each."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterable
from typing import Any

from ..core.errors import Interrupted
from ..core.terminal_text import printable

OK, FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141
STANDARD_OUTPUT = "standard output"


def interrupted(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that a signal ended: 128 and its number, as shells have it."""
    return 128 + (error.signal if isinstance(error, Interrupted) else signal.SIGINT)


def warn(message: str) -> None:
    """Print one message on standard error; if that is closed, print nothing and go on.

    The line is written at once, newline included, so that lines of other processes do not get into it.
    """
    try:
        sys.stderr.write(f"distilbert: {printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr.fileno())


def open_closed_streams() -> None:
    """Give a number to each standard stream that is closed, so that no file of ours gets it.

    What is written to standard output then fails when it is flushed. Standard input stays None.
    """
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


class _StandardOutput(io.FileIO):
    """Standard output whose errors say that they are its own: all others have the name of a file."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


def name_standard_output() -> None:
    """Make the errors of standard output tell that they are its own."""
    named = io.BufferedWriter(_StandardOutput(sys.stdout.fileno(), "w", closefd=False))
    sys.stdout = io.TextIOWrapper(
        named, sys.stdout.encoding, sys.stdout.errors, line_buffering=getattr(sys.stdout, "line_buffering", False)
    )


def option_of(name: str) -> str:
    """Return the option of an argument: ``--eval-data`` of ``eval_data``."""
    return f"--{name.replace('_', '-')}"


def in_options(message: str, names: Iterable[str]) -> str:
    """Return a message that speaks of arguments in Python in the words of the command line.

    Examples, with names of arguments: ``Use device='cpu'`` becomes ``Use --device cpu``, ``state eval_data`` becomes
    ``state --eval-data``. An argument of one word can be any word of a sentence, so it is replaced only where it is its
    subject, as in ``epochs must be at least 1``, or stands in parentheses: ``go on with it (resume)``.

    Args:
        message: what an error says.
        names: arguments of the command, which are its options.
    """
    if message.startswith("--param "):
        return message  # which names parameters of a task
    message = message.replace(", or device_map='auto' to take whatever there is", "")
    for name in names:
        option = option_of(name)
        message = re.sub(rf"(?<![\w.-]){name}=['\"]([^'\"]*)['\"]", rf"{option} \1", message)
        message = re.sub(rf"(?<![\w.-]){name}=True\b", option, message)
        message = re.sub(rf"(?<![\w.-]){name}=(?=[\w.])", f"{option} ", message)
        message = re.sub(rf"(?<![\w.-]){name}=(?=[\s,.;:)]|$)", option, message)
        message = re.sub(rf"\({name}\)", f"({option})", message)
        message = re.sub(rf"(^|\band ){name}(?=:| (?:must|goes|starts)\b)", rf"\1{option}", message)
        if "_" in name:
            message = re.sub(rf"(?<![\w'\"/.-]){name}(?![\w'\"/=-]|\.\w)", option, message)
        if name == "overwrite":
            message = re.sub(r"\b(or overwrite (?:it|them))(?=[.;]|$)", rf"\1 ({option})", message)
    return message


def flush_output() -> str:
    """Flush standard output; return why it cannot be, in words, and drop what is left of it, or an empty text."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout.fileno())
        error.filename = STANDARD_OUTPUT
        return explain(error)
    return ""


def silence(descriptor: int) -> None:
    """Send a stream without a reader to the null device, so that the last flush of the interpreter does not fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def explain(error: BaseException) -> str:
    """Return the message of an error; for an ``OSError`` of the system, its file and reason."""
    if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        return f"The results could not be printed on {STANDARD_OUTPUT}: {reason}."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__
