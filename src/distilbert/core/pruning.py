"""Which attention channels remain when heads are pruned, for every framework."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from .config import DistilBertConfig
from .config_checks import heads_by_layer


def prune(config: DistilBertConfig, heads_to_prune: Mapping[int, Collection[int]]) -> dict[int, np.ndarray]:
    """Record pruned heads in ``config.pruned_heads`` and return the channels that remain in each layer.

    Args:
        config: changed in place; left as it is if an error is raised.
        heads_to_prune: layer -> heads, numbered as in the unpruned model. Heads that are pruned already are ignored.
            Layers below 0 are counted from the end: -1 is the last one.

    Returns:
        Layer -> indices (A,) of the remaining channels among those that the q, k and v projections had before.

    Raises:
        ConfigError: no such layer or head, or no head would be left.
    """
    heads_to_prune = heads_by_layer(heads_to_prune, config.n_layers)
    before = config.pruned_heads
    config.pruned_heads = {
        layer: sorted({*before.get(layer, ()), *heads_to_prune.get(layer, ())})
        for layer in sorted({*before, *heads_to_prune})
    }
    try:
        config.validate()
    except Exception:
        config.pruned_heads = before
        raise
    remaining = {}
    for layer in heads_to_prune:
        present = [head for head in range(config.n_heads) if head not in before.get(layer, ())]
        positions = [index for index, head in enumerate(present) if head not in config.pruned_heads[layer]]
        channels = np.arange(len(present) * (config.dim // config.n_heads)).reshape(len(present), -1)
        remaining[layer] = channels[positions].flatten()
    return remaining
