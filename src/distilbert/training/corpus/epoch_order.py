"""An endless stream of epochs, each with every item once, in an order that depends only on the seed and the epoch."""

from __future__ import annotations

import numpy as np

from .keyed_random import ORDER, KeyedRandom


class EpochOrder:
    """The order of ``count`` items in an endless stream of epochs.

    Args:
        count: number of items.
        seed: decides the orders; None: all epochs have the items in their own order.
    """

    def __init__(self, count: int, seed: int | None) -> None:
        self._count = count
        self._random = None if seed is None else KeyedRandom(ORDER, seed)
        self._latest: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # an epoch and its order

    def numbers(self, start: int, count: int) -> np.ndarray:
        """Return the items at positions ``start`` to ``start + count - 1`` of the stream: (count,).

        Position p is in epoch ``p // items``.
        """
        if start < 0 or count < 0 or not self._count:
            raise ValueError(f"cannot take {count} sequences from position {start} of {self._count} sequences")
        numbers = np.empty(count, np.int64)
        done = 0
        while done < count:
            epoch, place = divmod(start + done, self._count)
            size = min(count - done, self._count - place)
            numbers[done : done + size] = self._order_of(epoch)[place : place + size]
            done += size
        return numbers

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._random is None:
            epoch = 0  # all epochs have the same order
        if self._latest[0] != epoch:
            order = np.arange(self._count)
            if self._random is not None:
                self._random.generator(epoch).shuffle(order)
            self._latest = (epoch, order)
        return self._latest[1]
