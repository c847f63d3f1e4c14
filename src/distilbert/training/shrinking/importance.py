"""What attention heads and feed-forward columns contribute to the answers of a model.

Removing a part replaces its activation x by 0. To first order, a score z then changes by x dz/dx, summed over the
tokens of a text (arXiv 1905.10650, section 4.1, for heads; 1611.06440, section 2.2, for columns). Both papers take the
loss of labels for z. Here it is the model's own scores: the importance of a part is the expected squared change of all
scores together. It needs no labels, and does not vanish where the model is right. One backward pass measures all
scores: the sum of scores with random signs changes by the sum of their changes, and the square of that has the sum of
their squares as its mean.

Shapes: T tokens of all sequences, B sequences, L layers, N heads, H width of a head, F feed-forward columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.runner_protocol import Batch, pools_mean, read_rows
from ...models.pytorch.packing import Packing


@dataclass(frozen=True)
class Importance:
    """Mean squared change of the scores of a text if a part is removed, to first order.

    Attributes:
        heads: for each layer (N,), of the heads that are there.
        columns: for each layer (F,).
    """

    heads: list[np.ndarray]
    columns: list[np.ndarray]


def measure_importance(model: Any, batches: Sequence[Batch], seed: int = 0) -> Importance:
    """Measure the importance of all heads and columns of a model.

    Args:
        model: a PyTorch model with a head, on a CPU; it is switched to evaluation mode.
        batches: of texts like those that it is for; some hundred sequences.
        seed: of the random signs.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    blocks = model.base_model.transformer.layer
    head_dim = model.config.dim // model.config.n_heads
    maps = [lin for block in blocks for lin in (block.attention.out_lin, block.ffn.lin2)]
    inputs: dict[nn.Module, Tensor] = {}
    hooks = [lin.register_forward_pre_hook(lambda lin, x: inputs.__setitem__(lin, x[0])) for lin in maps]
    sums = [torch.zeros((), dtype=torch.float64) for _ in maps]
    try:
        for batch in batches:
            scores = _scores(model, batch)
            signs = torch.randint(0, 2, scores.shape, generator=generator) * 2.0 - 1.0
            activations = [inputs[lin] for lin in maps]
            gradients = torch.autograd.grad((scores * signs).sum(), activations)
            for number, (x, gradient) in enumerate(zip(activations, gradients, strict=True)):
                change = (x * gradient).detach()  # (T, A) or (T, F); in the last block of fewer tokens
                if number % 2 == 0:
                    change = change.unflatten(-1, (-1, head_dim)).sum(-1)  # (T, N)
                by_text = change.new_zeros(len(batch.lengths), change.shape[-1])
                by_text.index_add_(0, _texts_of(batch, model, len(change)), change)
                sums[number] = sums[number] + by_text.double().square().sum(0)
    finally:
        for hook in hooks:
            hook.remove()
    texts = max(1, sum(len(batch.lengths) for batch in batches))
    means = [(total / texts).numpy() for total in sums]
    return Importance(means[0::2], means[1::2])


def _scores(model: Any, batch: Batch) -> Tensor:
    """Return the scores of a batch, with what is needed to differentiate them."""
    rows = read_rows(batch, model.head_spec, model.config)
    packing = Packing.of_lengths(batch.lengths.tolist(), torch.device("cpu"))
    ids = torch.from_numpy(batch.input_ids)
    hidden = model.distilbert.forward_packed(ids, packing, None if rows is None else torch.from_numpy(rows))
    if pools_mean(model.head_spec, model.config):
        hidden = packing.means(hidden)
    scores: Tensor = model.head(hidden).float()
    return scores


def _texts_of(batch: Batch, model: Any, count: int) -> Tensor:
    """Return the number of the sequence that each of ``count`` tokens belongs to: of all, or of those that are read."""
    numbers = np.repeat(np.arange(len(batch.lengths)), batch.lengths)
    if count != len(numbers):
        rows = read_rows(batch, model.head_spec, model.config)
        assert rows is not None
        numbers = numbers[rows]
    return torch.from_numpy(numbers)
