"""Which blocks, heads and feed-forward columns stay, and the model that has nothing else.

All blocks keep the same number of columns, so that ``hidden_dim`` says it and every library loads the model. Heads, if
any are removed, are the least important ones of all blocks together; ``pruned_heads`` names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...core.config import DistilBertConfig
from ...core.errors import InputError
from ...models.pytorch.surgery import prune_heads, replace_linear
from ..distill_models import with_layers
from .importance import Importance
from .time_model import Size, TimeModel

LEAST_SHARE = 0.6  # of its time that a block keeps; rather than thinner blocks, the model gets fewer ones
COLUMNS_TOGETHER = 16  # a multiple of what vector instructions take at once


@dataclass(frozen=True, eq=False)
class Shape:
    """What stays of a model.

    Attributes:
        layers: numbers of the blocks.
        heads: of each of these blocks, the places (N,) of the heads that stay, among those that it has.
        columns: of each of these blocks, the feed-forward columns (F,) that stay.
    """

    layers: tuple[int, ...]
    heads: tuple[np.ndarray, ...]
    columns: tuple[np.ndarray, ...]

    def size(self, reads_all: bool) -> Size:
        """Return its size; ``reads_all`` as of :meth:`.Size.of`."""
        return Size.of([len(heads) for heads in self.heads], len(self.columns[0]), reads_all)


def choose_shape(
    importance: Importance,
    times: TimeModel,
    seconds: float,
    *,
    reads_all: bool,
    layers: Sequence[int] | None = None,
    with_fewer_heads: bool = False,
) -> Shape:
    """Choose the shape that takes at most ``seconds``, and keeps the most important parts.

    Args:
        importance: of all parts.
        times: what they cost.
        seconds: that the smaller model may take.
        reads_all: the model's head reads all tokens, or their mean.
        layers: blocks to keep; None: the lowest ones, as many as can keep ``LEAST_SHARE`` of their time each. The lower
            blocks of a fine-tuned model do most for its task (arXiv 2004.03844).
        with_fewer_heads: choose among heads and columns; otherwise all heads stay.

    Raises:
        InputError: no model with these blocks is that fast.
    """
    depth = len(importance.heads)
    choices = [layers] if layers is not None else [range(count) for count in range(depth, 0, -1)]
    best = None
    for kept in choices:
        shape = _thin(importance, times, seconds, kept, reads_all, with_fewer_heads)
        if shape is None:
            continue
        best = shape
        of_blocks = times.seconds(_whole(importance, kept).size(reads_all)) - times.base
        if times.seconds(shape.size(reads_all)) - times.base >= LEAST_SHARE * of_blocks:
            break
    if best is None:
        fewest = choices[-1]
        least = times.seconds(Size.of([1] * len(fewest), COLUMNS_TOGETHER, reads_all))
        raise InputError(
            f"With {len(fewest)} of {depth} layers, however thin, the examples take {least:.3g} s, and to be that fast "
            f"they may take {seconds:.3g} s. Ask for a smaller speedup, or keep fewer layers."
        )
    return best


def _thin(
    importance: Importance,
    times: TimeModel,
    seconds: float,
    layers: Sequence[int],
    reads_all: bool,
    with_fewer_heads: bool,
) -> Shape | None:
    """Return the most important parts of some blocks that together take at most ``seconds``; None: there are none."""
    whole = _whole(importance, layers)
    count, columns = sum(map(len, whole.heads)), len(whole.columns[0])
    choices = [columns, *range((columns - 1) // COLUMNS_TOGETHER * COLUMNS_TOGETHER, 0, -COLUMNS_TOGETHER)]
    best, most = None, -1.0
    for total in range(count, len(layers) - 1, -1) if with_fewer_heads else [count]:
        heads = _most_important_heads(importance, layers, total)
        sizes = [len(of_block) for of_block in heads]
        fitting = (width for width in choices if times.seconds(Size.of(sizes, width, reads_all)) <= seconds)
        width = next(fitting, 0)
        if not width:
            continue
        shape = Shape(whole.layers, heads, _most_important_columns(importance, layers, width))
        kept = _kept(importance, shape)
        if kept > most:
            best, most = shape, kept
    return best


def cut(model: Any, shape: Shape) -> Any:
    """Return a model with nothing but the parts of ``shape``, the embeddings and the head."""
    smaller = with_layers(model, list(shape.layers))
    config: DistilBertConfig = smaller.config
    pruned = {}
    for number, (heads, columns) in enumerate(zip(shape.heads, shape.columns, strict=True)):
        ffn = smaller.base_model.transformer.layer[number].ffn
        kept = torch.from_numpy(columns)
        replace_linear(ffn.lin1, ffn.lin1.weight[kept], ffn.lin1.bias[kept])
        replace_linear(ffn.lin2, ffn.lin2.weight[:, kept], ffn.lin2.bias)
        present = [head for head in range(config.n_heads) if head not in config.pruned_heads.get(number, ())]
        removed = set(present) - {present[place] for place in heads}
        if removed:
            pruned[number] = removed
    prune_heads(smaller, pruned)
    config.hidden_dim = len(shape.columns[0])
    return smaller


def all_parts(config: DistilBertConfig, layers: Sequence[int]) -> Shape:
    """Return the shape of some blocks of a model with all that they have."""
    heads = [config.n_heads - len(config.pruned_heads.get(layer, ())) for layer in layers]
    columns = np.arange(config.hidden_dim)
    return Shape(tuple(layers), tuple(np.arange(count) for count in heads), (columns,) * len(layers))


def first_parts(config: DistilBertConfig, layers: int, heads: int, columns: int) -> Shape:
    """Return a shape of the first blocks, and of the first heads and columns of each, to measure how long it takes."""
    whole = all_parts(config, range(layers))
    return Shape(
        whole.layers,
        tuple(of_block[:heads] for of_block in whole.heads),
        tuple(of_block[:columns] for of_block in whole.columns),
    )


def most_important_parts(importance: Importance, layers: Sequence[int], columns: int) -> Shape:
    """Return the shape of some blocks with all heads and the most important ``columns`` of each."""
    return Shape(tuple(layers), _whole(importance, layers).heads, _most_important_columns(importance, layers, columns))


def _whole(importance: Importance, layers: Sequence[int]) -> Shape:
    heads = tuple(np.arange(len(importance.heads[layer])) for layer in layers)
    return Shape(tuple(layers), heads, tuple(np.arange(len(importance.columns[layer])) for layer in layers))


def _most_important_heads(importance: Importance, layers: Sequence[int], count: int) -> tuple[np.ndarray, ...]:
    """Return the places of the most important heads of all blocks together, at least one of each block."""
    order = {layer: np.argsort(-importance.heads[layer], kind="stable") for layer in layers}
    others = sorted(
        ((layer, head) for layer in layers for head in order[layer][1:]),
        key=lambda place: -importance.heads[place[0]][place[1]],
    )
    kept = {(layer, order[layer][0]) for layer in layers} | set(others[: count - len(layers)])
    return tuple(np.array(sorted(head for of, head in kept if of == layer)) for layer in layers)


def _most_important_columns(importance: Importance, layers: Sequence[int], count: int) -> tuple[np.ndarray, ...]:
    """Return the most important columns of each block."""
    return tuple(np.sort(np.argsort(-importance.columns[layer], kind="stable")[:count]) for layer in layers)


def _kept(importance: Importance, shape: Shape) -> float:
    parts = zip(shape.layers, shape.heads, shape.columns, strict=True)
    return float(
        sum(importance.heads[n][heads].sum() + importance.columns[n][columns].sum() for n, heads, columns in parts)
    )
