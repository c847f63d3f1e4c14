"""Several processes: copies with one gradient, or shards; and the whole state of either, for checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from ..engine.precision import bf16_is_faster
from .distill_config import TrainingConfig
from .optimizer import make_optimizer

State = dict[str, Tensor]
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
REMEMBERED, REST = "optimizer.state.", "rest."  # names in a checkpoint: of the optimizer, of other weights


def make_accelerator(config: TrainingConfig, all_used: bool = True) -> Accelerator:
    """Find the device and the other processes.

    Args:
        config: ``device``.
        all_used: every trained weight takes part in every pass.
    """
    return Accelerator(
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not all_used)],
    )


def agree_on_precision(asked: str, accelerator: Accelerator) -> str:
    """Return ``"fp32"`` or ``"bf16"``, the same on all processes: ``"auto"`` is what is faster on the first one."""
    if asked != "auto":
        return asked
    decided = ["bf16" if bf16_is_faster(accelerator.device.type) else "fp32"]
    return str(broadcast_object_list(decided)[0])


def spread(objective: nn.Module, config: TrainingConfig, accelerator: Accelerator) -> tuple[nn.Module, Optimizer]:
    """Put the objective on the device and join the processes: copies with one gradient, or shards (``fsdp``).

    Accelerate's own FSDP is passed over in silence on CPUs; that of PyTorch is not. The objective is one unit, as the
    terms reach into layers from outside: what is at rest is sharded, and gathered once a step.
    """
    if config.fsdp and accelerator.num_processes > 1:
        device = accelerator.device.type
        mesh = init_device_mesh(device, (accelerator.num_processes,))
        fully_shard(objective.to(accelerator.device), mesh=mesh, reshard_after_forward=False)
        return objective, make_optimizer(objective, config)
    module, prepared = accelerator.prepare(objective, make_optimizer(objective, config))
    return module, prepared.optimizer


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Keep all weights on every process, so that these may make different numbers of passes, or none."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    yield
    module.reshard()


@contextmanager
def adding_up(module: nn.Module, accelerator: Accelerator, last: bool) -> Iterator[None]:
    """Let the processes share gradients in the last of their passes only, however many each has."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
        module.set_reshard_after_backward(last)
        yield
    elif last:
        yield
    else:
        with accelerator.no_sync(module):
            yield


def model_state(module: nn.Module) -> State:
    """Return all weights, unsharded, on the CPU of the first process."""
    return dict(get_model_state_dict(module, options=FULL))  # type: ignore[arg-type]


def optimizer_tensors(module: nn.Module, optimizer: Optimizer) -> State:
    """Return ``optimizer.state.PARAMETER.KEY`` of everything that the optimizer remembers; all of it, unsharded."""
    state: Any = get_optimizer_state_dict(module, optimizer, options=FULL).get("state", {})
    return {f"{REMEMBERED}{name}.{key}": value for name, values in state.items() for key, value in values.items()}


def load_optimizer(module: nn.Module, optimizer: Optimizer, saved: State) -> None:
    """Give a fresh optimizer the memory that :func:`optimizer_tensors` returned, every process its part."""
    state: dict[str, State] = {}
    for name, tensor in saved.items():
        if name.startswith(REMEMBERED):
            parameter, _, key = name.removeprefix(REMEMBERED).rpartition(".")
            state.setdefault(parameter, {})[key] = tensor
    groups = get_optimizer_state_dict(module, optimizer)["param_groups"]
    whole: Any = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(module, optimizer, whole, options=replace(FULL, strict=False))
    for name, weight in module.named_parameters():
        if name.removeprefix("module.") not in state and weight in optimizer.state:
            del optimizer.state[weight]  # no term reaches it, so it never had a state


def load_rest(module: nn.Module, saved: State) -> None:
    """Give the objective the weights that are saved beside the model's folder, such as projections."""
    state = module.state_dict()
    for name, tensor in saved.items():
        if name.startswith(REST):
            state[name.removeprefix(REST)].copy_(tensor)
