"""Training on one process or several: data-parallel copies or shards (FSDP), and their full state for checkpoints."""

from __future__ import annotations

import functools
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
from torch.nn import functional as F
from torch.optim import Optimizer

from ..engine.precision import fastest_seconds
from .distill_config import TrainingConfig
from .optimizer import make_optimizer

Tensors = dict[str, Tensor]
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
OPTIMIZER_STATE, OTHER_WEIGHTS = "optimizer.state.", "rest."  # how names of tensors start in a checkpoint


def make_accelerator(config: TrainingConfig, all_weights_used: bool = True) -> Accelerator:
    """Find the device and the other processes.

    Args:
        config: its ``device`` is used.
        all_weights_used: every trained weight takes part in every forward pass.
    """
    return Accelerator(
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not all_weights_used)],
    )


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Compute with so many threads of the CPU; 0 leaves PyTorch's number."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def agree_on_precision(precision: str, accelerator: Accelerator) -> str:
    """Return ``"fp32"`` or ``"bf16"``, the same on all processes; ``"auto"`` takes what is faster on the first one."""
    if precision != "auto":
        return precision
    decided = ["bf16" if bf16_is_faster(accelerator.device.type) else "fp32"]
    return str(broadcast_object_list(decided)[0])


@functools.cache
def bf16_is_faster(device_type: str) -> bool:
    """Say whether PyTorch's matrix products are at least 1.3 times as fast in bf16 as in fp32.

    CPUs with bf16 instructions are between half and eight times as fast in bf16, so both types are timed in turn, once
    in a process, which takes some hundredths of a second.

    Args:
        device_type: ``"cpu"``, or ``"cuda"``, where a GPU that supports bf16 is taken to be faster in it.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device_type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    x, weight = torch.ones(512, 768), torch.ones(768, 768)
    with torch.inference_mode():
        seconds = fastest_seconds(
            {
                name: functools.partial(F.linear, x.to(dtype), weight.to(dtype))
                for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
            }
        )
    return seconds["fp32"] > 1.3 * seconds["bf16"]


def distribute(objective: nn.Module, config: TrainingConfig, accelerator: Accelerator) -> tuple[nn.Module, Optimizer]:
    """Put the objective on the device, and on several processes make it data-parallel copies, or shards (``fsdp``).

    Shards use PyTorch's FSDP, because Accelerate's silently does nothing on CPUs. The objective is sharded as one unit,
    because its terms read layers from outside; its weights are gathered once a step.
    """
    if config.fsdp and accelerator.num_processes > 1:
        device = accelerator.device.type
        mesh = init_device_mesh(device, (accelerator.num_processes,))
        fully_shard(objective.to(accelerator.device), mesh=mesh, reshard_after_forward=False)
        return objective, make_optimizer(objective, config)
    module, prepared = accelerator.prepare(objective, make_optimizer(objective, config))
    return module, prepared.optimizer


@contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """Gather all weights on every process, so that processes can run different numbers of forward passes, or none."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    yield
    module.reshard()


@contextmanager
def accumulating_gradients(module: nn.Module, accelerator: Accelerator, last: bool) -> Iterator[None]:
    """Exchange gradients between the processes only in the ``last`` micro-batch of each."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
        module.set_reshard_after_backward(last)
        yield
    elif last:
        yield
    else:
        with accelerator.no_sync(module):
            yield


def model_state(module: nn.Module) -> Tensors:
    """Return all weights, unsharded, on the CPU of the first process."""
    return dict(get_model_state_dict(module, options=FULL))  # type: ignore[arg-type]


def optimizer_tensors(module: nn.Module, optimizer: Optimizer) -> Tensors:
    """Return the full, unsharded state of the optimizer, by names ``optimizer.state.PARAMETER.KEY``."""
    state: Any = get_optimizer_state_dict(module, optimizer, options=FULL).get("state", {})
    return {f"{OPTIMIZER_STATE}{name}.{key}": value for name, values in state.items() for key, value in values.items()}


def load_optimizer(module: nn.Module, optimizer: Optimizer, saved: Tensors) -> None:
    """Load into a new optimizer what :func:`optimizer_tensors` returned; each process takes its part."""
    state: dict[str, Tensors] = {}
    for name, tensor in saved.items():
        if name.startswith(OPTIMIZER_STATE):
            parameter, _, key = name.removeprefix(OPTIMIZER_STATE).rpartition(".")
            state.setdefault(parameter, {})[key] = tensor
    groups = get_optimizer_state_dict(module, optimizer)["param_groups"]
    full_state: Any = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(module, optimizer, full_state, options=replace(FULL, strict=False))
    for name, weight in module.named_parameters():
        if name.removeprefix("module.") not in state and weight in optimizer.state:
            del optimizer.state[weight]  # no term depends on it, so it never had a state


def load_other_weights(module: nn.Module, saved: Tensors) -> None:
    """Load the trained weights of the objective that are not part of the model, such as projections."""
    state = module.state_dict()
    for name, tensor in saved.items():
        if name.startswith(OTHER_WEIGHTS):
            state[name.removeprefix(OTHER_WEIGHTS)].copy_(tensor)
