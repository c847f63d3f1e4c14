"""One optimizer step: the passes of a process, what all processes add up to, clipping, the update."""

from __future__ import annotations

import math

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..core.errors import TrainingError
from .config import TrainingConfig
from .corpus.batches import Pass, Step
from .processes import State, adding_up


def update(
    module: nn.Module,
    optimizer: Optimizer,
    step: Step,
    rate: float,
    number: int,
    config: TrainingConfig,
    accelerator: Accelerator,
    autocast: torch.autocast,
) -> tuple[dict[str, float], float]:
    """Take one optimizer step; returns the terms with the loss, and the norm of the gradient before clipping."""
    names = sorted(step.counts)
    counts = torch.tensor([step.counts[name] for name in names], dtype=torch.float64, device=accelerator.device)
    totals = {name: float(count) for name, count in zip(names, accelerator.reduce(counts), strict=True)}
    sums: dict[str, Tensor] = {}
    for index, one in enumerate(step.passes):
        torch.manual_seed(_seed(config.seed, number, one.number))  # dropout
        with adding_up(module, accelerator, last=index + 1 == len(step.passes)):
            with autocast:
                loss, terms = module(**on_device(one, accelerator.device), counts=totals)
            accelerator.backward(loss * accelerator.num_processes)
        for name, value in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0.0) + value
    names = list(sums)
    values = accelerator.reduce(torch.stack([sums[name].double() for name in names])).tolist()
    figures: dict[str, float] = dict(zip(names, values, strict=True))
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise no_number(number + 1, f"{', '.join(broken)} became {figures[broken[-1]]}")
    clipped = accelerator.clip_grad_norm_(module.parameters(), config.clip or math.inf)
    norm = float(clipped.full_tensor() if isinstance(clipped, DTensor) else clipped)
    if not math.isfinite(norm):
        raise no_number(number + 1, f"the gradient's norm became {norm} at a loss of {figures['loss']:.4g}")
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return figures, norm


def no_number(step: int, what: str) -> TrainingError:
    """Return the error of a step after which a number is none any more."""
    return TrainingError(
        f"Step {step}: {what}. The checkpoints before it are untouched. Start anew with a lower learning_rate, a "
        "longer warmup or precision fp32; to start from a checkpoint, name its folder 'model' as the model."
    )


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def on_device(one: Pass, device: torch.device) -> State:
    """Return the arrays of a pass as tensors on the device."""
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in one.arrays.items()}
