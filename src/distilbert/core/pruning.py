"""Which channels of attention are left when heads are pruned: the same for every framework."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .config import DistilBertConfig


def prune(config: DistilBertConfig, heads_to_prune: Mapping[int, list[int]]) -> dict[int, np.ndarray]:
    """Note in ``config.pruned_heads`` which heads go, and say which channels of each layer named stay.

    Args:
        config: changed, unless that would be an error.
        heads_to_prune: layer -> heads, numbered as in the unpruned model; heads already gone are passed over.

    Returns:
        Layer -> indices (width left,) into the width that the q, k and v projections had before.

    Raises:
        ConfigError: no such layer or head, or no head would be left.
    """
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
    kept = {}
    for layer in heads_to_prune:
        there = [head for head in range(config.n_heads) if head not in before.get(layer, ())]
        places = [place for place, head in enumerate(there) if head not in config.pruned_heads[layer]]
        channels = np.arange(len(there) * (config.dim // config.n_heads)).reshape(len(there), -1)
        kept[layer] = channels[places].flatten()
    return kept
