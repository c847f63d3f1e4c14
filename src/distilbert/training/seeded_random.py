"""PyTorch's random numbers as a function of a seed, whatever else this process trains at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..core.forks import ForkSafeLock

_lock = ForkSafeLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the random numbers of a block from ``seed``.

    PyTorch has one generator for all threads of a process, so that only one thread at a time is in such a block.
    """
    with _lock:
        torch.manual_seed(seed)
        yield


class RandomStream:
    """Random numbers of PyTorch that a seed decides from block to block, whatever is drawn outside.

    A block leaves PyTorch's generator as it was.

    Args:
        seed: of the first block; each next one goes on where the last one ended.
    """

    def __init__(self, seed: int) -> None:
        with _lock, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._state = torch.get_rng_state()

    @contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw the random numbers of a block from the stream. Only one thread at a time is in such a block."""
        with _lock, torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()
