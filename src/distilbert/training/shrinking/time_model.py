"""What the parts of a model cost on this machine: seconds as a sum of what layers, heads and columns take.

Some sizes of the model are measured in turn, by the engine and from text to answer, and a least-squares fit without
negative costs gives the rest. So the time of tokenizing and of small matrices is in it, which a count of operations
leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
from scipy.optimize import nnls


@dataclass(frozen=True)
class Size:
    """The size of a model.

    Attributes:
        layers: number of blocks.
        heads: attention heads of all blocks together.
        columns: feed-forward columns of all blocks together.
    """

    layers: int
    heads: int
    columns: int


@dataclass(frozen=True)
class TimeModel:
    """Seconds for the same examples, by the size of the model.

    Attributes:
        base: seconds that no block takes: tokenizing, embeddings, head, answers.
        layer: seconds of a block without heads and columns.
        head: seconds of a head.
        column: seconds of a feed-forward column.
    """

    base: float
    layer: float
    head: float
    column: float

    def seconds(self, size: Size) -> float:
        """Return the seconds of a model of this size."""
        return float(np.dot(astuple(self), (1, *astuple(size))))


def fit_time_model(measured: Mapping[Size, float]) -> TimeModel:
    """Fit what parts cost to measured seconds.

    Args:
        measured: seconds by size; as many sizes as there are costs, four, or more.
    """
    sizes = np.array([(1, *astuple(size)) for size in measured], float)
    seconds = np.array(list(measured.values()))
    scale = sizes.max(axis=0)
    costs, _ = nnls(sizes / scale / seconds[:, None], np.ones(len(seconds)))  # relative errors count
    return TimeModel(*(costs / scale).tolist())
