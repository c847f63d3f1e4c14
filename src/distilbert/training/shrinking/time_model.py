"""What the parts of a model cost on this machine: seconds as a sum of what layers, heads and columns take.

Some sizes of the model are measured in turn, by the engine and from text to answer, and a least-squares fit without
negative costs gives the rest. So the time of tokenizing and of small matrices is in it, which a count of operations
leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Size:
    """The size of a model, as far as it takes time.

    The last block of a model whose head reads one token of each text computes the other tokens' keys and values alone:
    its columns cost nothing, and its heads less. So they count for themselves.

    Attributes:
        layers: number of blocks that compute all tokens.
        heads: attention heads of these blocks together.
        columns: feed-forward columns of these blocks together.
        last_heads: attention heads of a last block that computes one token of each text.
    """

    layers: int
    heads: int
    columns: int
    last_heads: int

    @classmethod
    def of(cls, heads: Sequence[int], columns: int, reads_all: bool) -> Self:
        """Return the size of a model.

        Args:
            heads: attention heads of each block.
            columns: feed-forward columns of each block.
            reads_all: its head reads all tokens, or their mean.
        """
        if reads_all:
            return cls(len(heads), sum(heads), columns * len(heads), 0)
        return cls(len(heads) - 1, sum(heads[:-1]), columns * (len(heads) - 1), heads[-1])


@dataclass(frozen=True)
class TimeModel:
    """Seconds for the same examples, by the size of the model.

    Attributes:
        base: seconds that no block takes: tokenizing, embeddings, head, answers.
        layer: seconds of a block without heads and columns.
        head: seconds of a head.
        column: seconds of a feed-forward column.
        last_head: seconds of a head of the last block, see :class:`Size`.
    """

    base: float
    layer: float
    head: float
    column: float
    last_head: float = 0.0

    def seconds(self, size: Size) -> float:
        """Return the seconds of a model of this size."""
        return float(np.dot(astuple(self), (1, *astuple(size))))


def fit_time_model(measured: Mapping[Size, float]) -> TimeModel:
    """Fit what parts cost to measured seconds.

    Args:
        measured: seconds by size; better more sizes than there are costs.
    """
    sizes = np.array([(1, *astuple(size)) for size in measured], float)
    seconds = np.array(list(measured.values()))
    scale = np.maximum(sizes.max(axis=0), 1)
    costs, _ = nnls(sizes / scale / seconds[:, None], np.ones(len(seconds)))  # relative errors count
    return TimeModel(*(costs / scale).tolist())
