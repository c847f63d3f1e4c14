"""AdamW with the reference's settings, and its learning rate."""

from __future__ import annotations

import re

import torch
from torch import nn

from .distill_config import TrainingConfig


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over what trains; weight decay spares biases and LayerNorm, and deeper blocks may learn more slowly."""
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    layers = 1 + max((depth for name, _ in trained if (depth := _depth(name)) is not None), default=-1)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in trained:
        depth = _depth(name)
        scale = 1.0 if depth is None else config.layer_decay ** (layers - depth)
        groups.setdefault((scale, p.dim() > 1), []).append(p)
    return torch.optim.AdamW(
        [
            {"params": members, "weight_decay": config.weight_decay if decayed else 0.0, "scale": scale}
            for (scale, decayed), members in groups.items()
        ],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        eps=config.epsilon,
        fused=True,
    )


def _depth(name: str) -> int | None:
    """Return the number of the block that a parameter is in, -1 for the embeddings, None for a head."""
    block = re.search(r"\.transformer\.layer\.(\d+)\.", name)
    return int(block[1]) if block else -1 if ".embeddings." in name else None


def learning_rate(step: int, steps: int, config: TrainingConfig) -> float:
    """Return the rate of step ``step`` (from 0) of ``steps``: up linearly over the warm-up, then down linearly to 0."""
    rising = int(config.warmup * steps)
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    return config.learning_rate * (steps - step) / max(1, steps - rising)
