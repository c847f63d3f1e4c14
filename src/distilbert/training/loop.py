"""The training loop: steps made of passes, on one device or many, with everything that a resume needs on disk.

Every random number is a function of seed, step and pass, so a run that was killed and resumed, or that runs on another
number of processes, computes what it would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..core.errors import DistilBertError
from . import checkpoints
from .batches import Batches, Pass, Step
from .board import Board
from .config import TrainingConfig
from .masking import IGNORED
from .metrics import Metrics
from .optimizer import learning_rate, make_optimizer, pick_precision

State = dict[str, Tensor]
Record = dict[str, Any]
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True)
REMEMBERED = "optimizer.state."


class TrainingError(DistilBertError, ArithmeticError):
    """The loss or the gradient is no longer a number."""


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: steps done.
        tokens: tokens seen.
        seconds: time spent, over all resumes.
        best_step: step of the lowest held-out perplexity.
        best: that perplexity.
        last: the newest evaluation.
        data: where the data stand.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best: float | None = None
    last: Record = field(default_factory=dict)
    data: Record = field(default_factory=dict)


@dataclass
class Job:
    """What is trained, on what, and how it is judged and saved.

    Attributes:
        config: settings.
        objective: module whose call ``(**arrays, counts=...)`` gives the loss and the terms, as parts of means over
            the step, and without ``counts`` the sums of an evaluation.
        batches: where the steps come from.
        steps: how many steps to train.
        judge: turns the summed evaluation into figures; ``"perplexity"`` decides which checkpoint is best.
        save_model: writes a model folder, given the state of ``objective``.
        load_model: takes the weights of a folder that ``save_model`` wrote.
        on_record: is shown every record of the metrics.
    """

    config: TrainingConfig
    objective: nn.Module
    batches: Batches
    steps: int
    judge: Callable[[np.ndarray], Record]
    save_model: Callable[[Path, State], None]
    load_model: Callable[[Path], None]
    on_record: Callable[[Record], None]


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


def train(job: Job, accelerator: Accelerator, resume: checkpoints.Checkpoint | None = None) -> Progress:
    """Train ``job.objective`` until ``job.steps`` steps are done.

    Args:
        job: everything else.
        accelerator: device and processes.
        resume: checkpoint to go on from.

    Raises:
        TrainingError: the loss or the gradient is not finite; the checkpoints so far are untouched.
        CheckpointError: a checkpoint could not be written; those before it are untouched.
    """
    config, folder = job.config, Path(job.config.output)
    rank, world = accelerator.process_index, accelerator.num_processes
    progress = Progress()
    saved: State = {}
    if resume is not None:
        progress = Progress(**{name: resume.state[name] for name in asdict(progress)})
        job.load_model(resume.folder / checkpoints.MODEL)
        saved = resume.tensors()
        _load_rest(job.objective, saved)
        job.batches.restore(progress.data)
    module, optimizer = _spread(job.objective, config, accelerator)
    if saved:
        _load_optimizer(module, optimizer, saved)
    low = pick_precision(config.precision, accelerator.device) == "bf16"
    autocast = torch.autocast(accelerator.device.type, torch.bfloat16, enabled=low)
    held_out = job.batches.held_out(rank, world)
    main = accelerator.is_main_process
    board = Board(folder / "tensorboard" if config.tensorboard and main else None, progress.step)
    with Metrics(folder if main else None, progress.step, [board.log, job.on_record], board.close) as metrics:

        def evaluate() -> None:
            module.eval()
            with autocast, torch.no_grad(), _gathered(module):
                sums = torch.zeros(5, dtype=torch.float64, device=accelerator.device)
                for one in held_out:
                    arrays = _on_device(one, accelerator.device)
                    sums[:4] += module(**arrays)[0].to(sums)
                    sums[4] += (arrays["labels"] != IGNORED).sum()
            module.train()
            figures = job.judge(accelerator.reduce(sums).cpu().numpy())
            if not math.isfinite(figures["loss"]):
                raise _no_number(progress.step, f"the held-out loss became {figures['loss']}")
            progress.last = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3)}
            progress.last |= figures
            if progress.best is None or figures["perplexity"] < progress.best:
                progress.best, progress.best_step = figures["perplexity"], progress.step
            metrics.write({"kind": "evaluation", **progress.last})

        def save() -> None:
            state: State = dict(get_model_state_dict(module, options=FULL))  # type: ignore[arg-type]
            rest = _optimizer_tensors(module, optimizer)
            if main:
                mine = {name: tensor for name, tensor in state.items() if not name.startswith("student.")}
                checkpoints.save(
                    folder / "checkpoints",
                    progress.step,
                    asdict(progress),
                    {f"rest.{name}": tensor for name, tensor in mine.items()} | rest,
                    lambda path: job.save_model(path, state),
                )
                checkpoints.tidy(folder / "checkpoints", config.keep, progress.best_step)
            accelerator.wait_for_everyone()

        module.train()
        if progress.step == 0:
            evaluate()
        window = _Window()
        # One step ahead, so that reading, packing and masking cost no time.
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            ahead = pool.submit(job.batches.step, progress.step, rank, world)
            while progress.step < job.steps:
                start = time.perf_counter()
                step = ahead.result()
                if progress.step + 1 < job.steps:
                    ahead = pool.submit(job.batches.step, progress.step + 1, rank, world)
                rate = learning_rate(progress.step, job.steps, config)
                terms, norm = _update(module, optimizer, step, rate, progress.step, config, accelerator, autocast)
                progress.step += 1
                progress.tokens += step.tokens
                progress.data = step.state
                elapsed = time.perf_counter() - start
                progress.seconds += elapsed
                window.add(step.tokens, elapsed)
                last = progress.step == job.steps
                if progress.step % config.log_every == 0 or last:
                    metrics.write(
                        {
                            "kind": "train",
                            "step": progress.step,
                            "steps": job.steps,
                            "tokens": progress.tokens,
                            "seconds": round(progress.seconds, 3),
                            "learning_rate": rate,
                            "loss": terms.pop("loss"),
                            "terms": terms,
                            "gradient_norm": norm,
                            "tokens_per_second": round(window.rate(), 1),
                        }
                    )
                keeping = progress.step % config.checkpoint_every == 0 or last
                if progress.step % config.evaluate_every == 0 or keeping:
                    start = time.perf_counter()
                    evaluate()
                    progress.seconds += time.perf_counter() - start
                if keeping:
                    save()
    return progress


def _update(
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
    counts = torch.tensor([step.counts[name] for name in names], device=accelerator.device)
    totals = {name: int(count) for name, count in zip(names, accelerator.reduce(counts), strict=True)}
    sums: dict[str, Tensor] = {}
    for index, one in enumerate(step.passes):
        torch.manual_seed(_seed(config.seed, number, one.number))  # dropout
        with _adding_up(module, accelerator, last=index + 1 == len(step.passes)):
            with autocast:
                loss, terms = module(**_on_device(one, accelerator.device), counts=totals)
            accelerator.backward(loss * accelerator.num_processes)
        for name, value in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0.0) + value
    names = list(sums)
    values = accelerator.reduce(torch.stack([sums[name].double() for name in names])).tolist()
    figures: dict[str, float] = dict(zip(names, values, strict=True))
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise _no_number(number + 1, f"{', '.join(broken)} became {figures[broken[-1]]}")
    clipped = accelerator.clip_grad_norm_(module.parameters(), config.clip or math.inf)
    norm = float(clipped.full_tensor() if isinstance(clipped, DTensor) else clipped)
    if not math.isfinite(norm):
        raise _no_number(number + 1, f"the gradient's norm became {norm} at a loss of {figures['loss']:.4g}")
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return figures, norm


def _no_number(step: int, what: str) -> TrainingError:
    return TrainingError(
        f"Step {step}: {what}. The checkpoints before it are untouched. Start anew with a lower learning_rate, a "
        "longer warmup or precision fp32; to start from a checkpoint, name its folder 'model' as the model."
    )


def _spread(objective: nn.Module, config: TrainingConfig, accelerator: Accelerator) -> tuple[nn.Module, Optimizer]:
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
def _gathered(module: nn.Module) -> Iterator[None]:
    """Keep all weights on every process, so that these may make different numbers of passes, or none."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    yield
    module.reshard()


@contextmanager
def _adding_up(module: nn.Module, accelerator: Accelerator, last: bool) -> Iterator[None]:
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


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _on_device(one: Pass, device: torch.device) -> State:
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in one.arrays.items()}


def _optimizer_tensors(module: nn.Module, optimizer: Optimizer) -> State:
    """Return ``optimizer.state.PARAMETER.KEY`` of everything that the optimizer remembers; all of it, unsharded."""
    state: Any = get_optimizer_state_dict(module, optimizer, options=FULL).get("state", {})
    return {f"{REMEMBERED}{name}.{key}": value for name, values in state.items() for key, value in values.items()}


def _load_optimizer(module: nn.Module, optimizer: Optimizer, saved: State) -> None:
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


def _load_rest(module: nn.Module, saved: State) -> None:
    state = module.state_dict()
    for name, tensor in saved.items():
        if name.startswith("rest."):
            state[name.removeprefix("rest.")].copy_(tensor)


class _Window:
    """Tokens a second since the last line of progress."""

    def __init__(self) -> None:
        self.tokens, self.seconds = 0, 0.0

    def add(self, tokens: int, seconds: float) -> None:
        self.tokens += tokens
        self.seconds += seconds

    def rate(self) -> float:
        rate = self.tokens / max(self.seconds, 1e-9)
        self.tokens, self.seconds = 0, 0.0
        return rate
