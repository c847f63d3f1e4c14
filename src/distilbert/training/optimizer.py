"""AdamW with the reference's settings, its learning rate, and the choice of precision."""

from __future__ import annotations

import torch
from torch import nn

from .config import TrainingConfig


def make_optimizer(module: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW over what trains; weight decay spares biases and LayerNorm."""
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    spared = [p for name, p in trained if p.dim() == 1]
    decayed = [p for name, p in trained if p.dim() > 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.betas[0], config.betas[1]),
        eps=config.epsilon,
        fused=True,
    )


def learning_rate(step: int, steps: int, config: TrainingConfig) -> float:
    """Return the rate of step ``step`` (from 0) of ``steps``: up linearly over the warm-up, then down linearly to 0."""
    rising = int(config.warmup * steps)
    if step < rising:
        return config.learning_rate * (step + 1) / rising
    return config.learning_rate * (steps - step) / max(1, steps - rising)


def pick_precision(asked: str, device: torch.device) -> str:
    """Return ``"fp32"`` or ``"bf16"``: ``"auto"`` takes bf16 where the hardware has matrix units for it."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"
