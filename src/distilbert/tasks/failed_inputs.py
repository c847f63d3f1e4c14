"""Inputs that cannot be answered: they stop a call, or give None in their place and are counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ..core.counted import counted
from ..core.errors import InputError
from .checks import OR_NULL

ON_ERROR = ("raise", "null")
logger = logging.getLogger(__name__)


class FailedInputs:
    """Counts the inputs of one call that have no answer.

    Args:
        task: name of the task, for the message.

    Attributes:
        count: how many there are so far.
    """

    def __init__(self, task: str) -> None:
        self.count = 0
        self._task, self._first = task, ""

    @contextmanager
    def counted(self, place: str) -> Iterator[None]:
        """Count an :class:`InputError` that is raised inside, and go on; ``place`` names the input."""
        try:
            yield
        except InputError as error:
            self.count += 1
            reason = str(error).replace(OR_NULL, "")
            self._first = self._first or (reason if place in reason else f"{place}: {reason}")

    def report(self) -> None:
        """Log how many inputs have no answer, and why the first has none."""
        if self.count:
            inputs = counted(self.count, "input has", "inputs have")
            logger.warning("%s: %s no answer (None). The first: %s", self._task, inputs, self._first)


def counted_if(failures: FailedInputs | None, place: str) -> AbstractContextManager[None]:
    """Return :meth:`FailedInputs.counted`; without ``failures``, errors are raised."""
    return nullcontext() if failures is None else failures.counted(place)
