"""Packing: a stream of tokens cut into sequences without padding, each reachable by its number.

Shapes: ``N`` tokens, ``M`` spans of them, ``S`` tokens of a sequence, of which ``S - 2`` come from the stream.
"""

from __future__ import annotations

import numpy as np

from ...core.errors import ConfigError
from .draws import ORDER, Draws


def frame(content: np.ndarray, cls_token_id: int, sep_token_id: int) -> np.ndarray:
    """Put ``[CLS]`` before and ``[SEP]`` behind every row: (B, S - 2) any integers to (B, S) int64."""
    framed = np.empty((len(content), content.shape[1] + 2), np.int64)
    framed[:, 0], framed[:, 1:-1], framed[:, -1] = cls_token_id, content, sep_token_id
    return framed


def check_length(length: int) -> None:
    """Raise :class:`ConfigError` unless a sequence has room for a token between ``[CLS]`` and ``[SEP]``."""
    if length < 3:
        raise ConfigError(f"A sequence needs at least 3 tokens, as two are [CLS] and [SEP]; got a length of {length}.")


class PackedSequences:
    """Sequences of one length over an endless stream of epochs.

    The spans are read end to end and cut every ``length - 2`` tokens; each cut stands between ``[CLS]`` and ``[SEP]``.

    Args:
        tokens: (N,) ids, usually mapped from a file.
        spans: (M, 2) starts and ends of what is read of ``tokens``, in order.
        length: S, tokens of a sequence.
        cls_token_id: starts each sequence.
        sep_token_id: ends each sequence.
        seed: of the order.
        shuffle: draw a new order every epoch; False keeps that of the stream.
        limit: at most this many sequences; None: all.

    Attributes:
        length: S.
        left_out: tokens of the spans that are in no sequence: what does not fill one, and what ``limit`` cuts off.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        spans: np.ndarray,
        *,
        length: int,
        cls_token_id: int,
        sep_token_id: int,
        seed: int = 0,
        shuffle: bool = True,
        limit: int | None = None,
    ) -> None:
        check_length(length)
        self.length = length
        self._tokens, self._cls, self._sep = tokens, cls_token_id, sep_token_id
        sizes = spans[:, 1] - spans[:, 0]
        self._ends = np.cumsum(sizes)  # (M,) in the stream
        self._shifts = spans[:, 1] - self._ends  # (M,) from a place in the stream to one in the tokens
        total = int(sizes.sum())
        self._count = total // (length - 2)
        if limit is not None:
            self._count = min(self._count, limit)
        self.left_out = total - self._count * (length - 2)
        self._draws = Draws(ORDER, seed) if shuffle else None
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))  # of the epoch used last

    def __len__(self) -> int:
        return self._count

    def take(self, start: int, count: int) -> np.ndarray:
        """Return the sequences at positions ``start`` to ``start + count - 1`` of the stream of epochs.

        Position p is in epoch ``p // len(self)``; within an epoch every sequence comes once, in an order that depends
        on the seed and the epoch alone.

        Returns:
            (count, S) int64.
        """
        inner = self.length - 2
        starts = self._numbers(start, count)[:, None] * inner  # (B, 1) in the stream
        places = starts + np.arange(inner)  # (B, S - 2)
        places += self._shifts[np.searchsorted(self._ends, places, side="right")]
        return frame(self._tokens[places], self._cls, self._sep)

    def _numbers(self, start: int, count: int) -> np.ndarray:
        """Return which sequences stand at these positions: (count,)."""
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
        if self._draws is None:
            epoch = 0  # all alike
        if self._order[0] != epoch:
            order = np.arange(self._count)
            if self._draws is not None:
                self._draws.number(epoch).shuffle(order)
            self._order = (epoch, order)
        return self._order[1]
