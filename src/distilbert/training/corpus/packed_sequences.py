"""Packed sequences: a stream of tokens cut into sequences without padding, for training and for a held-out part.

Shapes: ``N`` tokens, ``M`` spans of them, ``S`` tokens of a sequence, of which ``S - 2`` come from the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ...core.errors import ConfigError, DataError
from .keyed_random import ORDER, Draws
from .token_cache import TokenCache

SECTION = 4096  # tokens of a document that are held out, or not, together


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


@dataclass(frozen=True, eq=False)
class Split:
    """The sequences that are trained on, and those that never are."""

    training: PackedSequences
    held_out: PackedSequences


def split(
    cache: TokenCache,
    *,
    length: int,
    cls_token_id: int,
    sep_token_id: int,
    seed: int,
    held_out: float = 0.005,
    max_held_out: int = 512,
) -> Split:
    """Hold out whole sections of documents and pack both parts.

    Sections are parts of documents of at most ``SECTION`` tokens (less in a corpus of under 16 sections of that size).
    They are held out in the order of a fixed hash of their number, so every run over this corpus holds out the same
    text, whatever its seed; a longer or larger held-out part contains a smaller one.

    Args:
        cache: the corpus.
        length: S, tokens of a sequence, ``[CLS]`` and ``[SEP]`` included.
        cls_token_id: starts each sequence.
        sep_token_id: ends each sequence.
        seed: of the order of training.
        held_out: share of the tokens to hold out; at least enough for one sequence, in whole sections.
        max_held_out: at most this many held-out sequences.

    Raises:
        ConfigError: a length, share or number that cannot work.
        DataError: the corpus is too small for a sequence of each part; says how many tokens are needed.
    """
    check_length(length)
    if not 0 <= held_out < 1 or max_held_out < 1:
        raise ConfigError(
            f"The share held out must be at least 0 and below 1, and at least one sequence must be held out; got "
            f"held_out={held_out} and max_held_out={max_held_out}."
        )
    inner, total = length - 2, len(cache.tokens)
    needed = 3 * inner  # one to hold out, up to one more in its last section, and one to train on
    if total < needed:
        raise DataError(f"{_too_small(cache, length)} At least {needed} are needed: {_advice(total)}")
    bounds = _sections(cache.ends, min(SECTION, max(inner, total // 16)))
    sizes = bounds[:, 1] - bounds[:, 0]
    order = np.argsort(_hash(np.arange(len(bounds), dtype=np.uint64)), kind="stable")
    target = max(inner, min(held_out * total, max_held_out * inner))
    taken = order[: np.searchsorted(np.cumsum(sizes[order]), target) + 1]
    is_held = np.zeros(len(bounds), bool)
    is_held[taken] = True
    if total - int(sizes[is_held].sum()) < inner:
        raise DataError(
            f"{_too_small(cache, length)} held_out={held_out} leaves less than one to train on: hold out less, or "
            f"{_advice(total)}"
        )
    pack = partial(
        PackedSequences, cache.tokens, length=length, cls_token_id=cls_token_id, sep_token_id=sep_token_id, seed=seed
    )
    return Split(
        training=pack(spans=_spans(bounds, ~is_held)),
        held_out=pack(spans=_spans(bounds, is_held), shuffle=False, limit=max_held_out),
    )


def _too_small(cache: TokenCache, length: int) -> str:
    return (
        f"The corpus is too small: it has {len(cache.tokens)} tokens in {len(cache.ends)} document"
        f"{'' if len(cache.ends) == 1 else 's'}, and a sequence of length {length} holds {length - 2} of them."
    )


def _advice(total: int) -> str:
    fitting = total // 3 + 2
    shorter = f", or choose a sequence length of at most {fitting}" if fitting >= 3 else ""
    return f"give more text{shorter}."


def _sections(ends: np.ndarray, size: int) -> np.ndarray:
    """Cut documents into sections of ``size`` tokens and a last, shorter one: (M, 2) starts and ends."""
    starts = np.concatenate([[0], ends[:-1]])
    counts = -(-(ends - starts) // size)  # sections of each document
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = np.repeat(starts, counts) + within * size
    return np.stack([begin, np.minimum(begin + size, np.repeat(ends, counts))], axis=1)


def _spans(bounds: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Join the sections that are kept wherever they follow each other: (runs, 2) starts and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return np.stack([bounds[edges[::2], 0], bounds[edges[1::2] - 1, 1]], axis=1)


def _hash(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64's mixing function (Steele, Lea and Flood, OOPSLA 2014) of uint64 numbers: uint64 of the same shape."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
