"""Sequences without padding, cut from the tokens of a corpus: for training, and held out from it.

Shapes: ``N`` tokens of the corpus, ``M`` spans of it, ``S`` tokens of a sequence, of which ``S - 2`` come from the
corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ...core.errors import ConfigError, DataError
from .epoch_order import EpochOrder
from .token_cache import TokenCache

SECTION = 4096  # tokens of a document that are held out together


def frame(content: np.ndarray, cls_token_id: int, sep_token_id: int) -> np.ndarray:
    """Put ``[CLS]`` before and ``[SEP]`` after every row: (B, S - 2) of any integer type to (B, S) int64."""
    framed = np.empty((len(content), content.shape[1] + 2), np.int64)
    framed[:, 0], framed[:, 1:-1], framed[:, -1] = cls_token_id, content, sep_token_id
    return framed


def check_length(length: int) -> None:
    """Raise :class:`ConfigError` if there is no room for a token between ``[CLS]`` and ``[SEP]``."""
    if length < 3:
        raise ConfigError(f"A sequence needs at least 3 tokens, as two are [CLS] and [SEP]; got a length of {length}.")


class PackedSequences:
    """Sequences of one length, in an endless stream of epochs.

    The spans are read one after another and cut every ``length - 2`` tokens; each piece gets ``[CLS]`` and ``[SEP]``.

    Args:
        tokens: (N,) ids, usually mapped from a file.
        spans: (M, 2) start and end of each span of ``tokens`` that is read, in order.
        length: S, tokens of a sequence.
        cls_token_id: starts each sequence.
        sep_token_id: ends each sequence.
        seed: decides the order.
        shuffle: a new random order every epoch; False keeps the order of the corpus.
        limit: largest number of sequences; None for all.

    Attributes:
        length: S.
        left_out: tokens of the spans that are in no sequence, because they do not fill one or exceed ``limit``.
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
        self._ends = np.cumsum(sizes)  # (M,) positions among the tokens of all spans
        self._shifts = spans[:, 1] - self._ends  # (M,) from such a position to one in ``tokens``
        total = int(sizes.sum())
        self._count = total // (length - 2)
        if limit is not None:
            self._count = min(self._count, limit)
        self.left_out = total - self._count * (length - 2)
        self._order = EpochOrder(self._count, seed if shuffle else None)

    def __len__(self) -> int:
        return self._count

    def take(self, start: int, count: int) -> np.ndarray:
        """Return the sequences at positions ``start`` to ``start + count - 1`` of the stream of epochs.

        Position p is in epoch ``p // len(self)``. An epoch contains every sequence once, in an order that depends only
        on the seed and the epoch.

        Returns:
            (count, S) int64.
        """
        inner = self.length - 2
        starts = self._order.numbers(start, count)[:, None] * inner  # (B, 1)
        places = starts + np.arange(inner)  # (B, S - 2)
        places += self._shifts[np.searchsorted(self._ends, places, side="right")]
        return frame(self._tokens[places], self._cls, self._sep)


@dataclass(frozen=True, eq=False)
class CorpusSplit:
    """The sequences to train on, and the held-out ones, which are never trained on."""

    training: PackedSequences
    held_out: PackedSequences


def split_corpus(
    cache: TokenCache,
    *,
    length: int,
    cls_token_id: int,
    sep_token_id: int,
    seed: int,
    held_out: float = 0.005,
    max_held_out: int = 512,
) -> CorpusSplit:
    """Hold out whole sections of documents and pack both parts.

    A section is at most ``SECTION`` tokens of a document (fewer if the corpus has under 16 sections of that size). A
    fixed hash of the numbers of sections decides which are held out first. So all runs over a corpus hold out the same
    text, whatever their seed, and a larger held-out part contains a smaller one.

    Args:
        cache: the corpus.
        length: S, tokens of a sequence, including ``[CLS]`` and ``[SEP]``.
        cls_token_id: starts each sequence.
        sep_token_id: ends each sequence.
        seed: decides the order of the training sequences.
        held_out: share of the tokens to hold out, in whole sections; at least one sequence is held out.
        max_held_out: largest number of held-out sequences.

    Raises:
        ConfigError: an argument is out of range.
        DataError: the corpus is too small for a sequence of each part; the message says how many tokens are needed.
    """
    check_length(length)
    if not 0 <= held_out < 1 or max_held_out < 1:
        raise ConfigError(
            f"The share held out must be at least 0 and below 1, and at least one sequence must be held out; got "
            f"held_out={held_out} and max_held_out={max_held_out}."
        )
    inner, total = length - 2, len(cache.tokens)
    needed = 3 * inner  # a held-out sequence, up to one more in its last section, a training sequence
    if total < needed:
        raise DataError(f"{_too_small(cache, length)} At least {needed} are needed: {_advice(total)}")
    bounds, is_held = hold_out_sections(cache.ends, inner, max(inner, min(held_out * total, max_held_out * inner)))
    if total - int((bounds[is_held, 1] - bounds[is_held, 0]).sum()) < inner:
        raise DataError(
            f"{_too_small(cache, length)} held_out={held_out} leaves less than one to train on: hold out less, or "
            f"{_advice(total)}"
        )
    pack = partial(
        PackedSequences, cache.tokens, length=length, cls_token_id=cls_token_id, sep_token_id=sep_token_id, seed=seed
    )
    return CorpusSplit(
        training=pack(spans=_spans(bounds, ~is_held)),
        held_out=pack(spans=_spans(bounds, is_held), shuffle=False, limit=max_held_out),
    )


def hold_out_sections(ends: np.ndarray, inner: int, target: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut documents into sections, and say which are held out.

    Args:
        ends: end of each document among the tokens.
        inner: tokens of a sequence that come from the corpus; no section is meant to be shorter.
        target: tokens to hold out at least.

    Returns:
        Start and end of each section, (sections, 2), and whether it is held out, (sections,).
    """
    bounds = _sections(ends, min(SECTION, max(inner, int(ends[-1]) // 16)))
    sizes = bounds[:, 1] - bounds[:, 0]
    order = np.argsort(mix(np.arange(len(bounds), dtype=np.uint64)), kind="stable")
    is_held = np.zeros(len(bounds), bool)
    is_held[order[: np.searchsorted(np.cumsum(sizes[order]), target) + 1]] = True
    return bounds, is_held


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
    """Cut documents into sections of ``size`` tokens, the last one shorter: (M, 2) starts and ends."""
    starts = np.concatenate([[0], ends[:-1]])
    counts = -(-(ends - starts) // size)  # sections of each document
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = np.repeat(starts, counts) + within * size
    return np.stack([begin, np.minimum(begin + size, np.repeat(ends, counts))], axis=1)


def _spans(bounds: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Join neighbouring sections among those that are kept: (spans, 2) starts and ends."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return np.stack([bounds[edges[::2], 0], bounds[edges[1::2] - 1, 1]], axis=1)


def mix(numbers: np.ndarray) -> np.ndarray:
    """Hash uint64 numbers by the mixing function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
