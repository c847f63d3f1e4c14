"""PyTorch's random numbers as a function of a seed, whatever else this process trains at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the random numbers of a block from ``seed``.

    PyTorch has one generator for all threads of a process, so that only one thread at a time is in such a block.
    """
    with _lock:
        torch.manual_seed(seed)
        yield
