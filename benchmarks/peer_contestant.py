"""What a contestant is: something that labels many texts, or one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


class Unavailable(Exception):
    """A contestant cannot take part here; the message says why."""


@dataclass(frozen=True)
class Batching:
    """How a contestant cuts many texts into batches.

    Attributes:
        size: of a batch, in the contestant's own unit.
        workers: batches at a time; the threads are shared out among them.
    """

    size: int
    workers: int = 1


class Contestant(ABC):
    """From text to labels.

    Attributes:
        unit: of a batch's size: ``"tokens"`` (texts times the longest, in batches of similar length) or ``"texts"``.
        sizes: that the best one is chosen from, ascending.
    """

    unit = "tokens"
    sizes: tuple[int, ...] = (512, 1024, 2048, 4096, 8192)

    def workers(self) -> tuple[int, ...]:
        """Return the numbers of workers to choose from."""
        return (1,)

    @abstractmethod
    def many(self, texts: list[str], batching: Batching) -> list[str]:
        """Return the label of every text, cut to 512 tokens."""

    @abstractmethod
    def one(self, text: str) -> str:
        """Return the label of one text, as a server would ask for it."""
