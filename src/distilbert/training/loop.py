"""The training loop: steps made of passes, on one device or many, with everything that a resume needs on disk.

Every random number is a function of seed, step and pass, so a run that was killed and resumed, or that runs on another
number of processes, computes what it would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
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
FULL = StateDictOptions(full_state_dict=True, cpu_offload=True, flatten_optimizer_state_dict=True)


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
        config: ``device`` and ``fsdp``.
        all_used: every trained weight takes part in every pass.
    """
    plugin = None
    if config.fsdp:
        from accelerate import FullyShardedDataParallelPlugin

        plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="no_wrap")
    return Accelerator(
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        fsdp_plugin=plugin,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not all_used, broadcast_buffers=False)],
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
    optimizer = make_optimizer(job.objective, config)
    progress = Progress()
    saved: State = {}
    if resume is not None:
        progress = Progress(**{name: resume.state[name] for name in asdict(progress)})
        job.load_model(resume.folder / checkpoints.MODEL)
        saved = resume.tensors()
        _load_rest(job.objective, saved)
        job.batches.restore(progress.data)
    module, prepared = accelerator.prepare(job.objective, optimizer)
    optimizer = prepared.optimizer
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
            with autocast, torch.no_grad():
                sums = torch.zeros(5, dtype=torch.float64, device=accelerator.device)
                for one in held_out:
                    arrays = _on_device(one, accelerator.device)
                    sums[:4] += module(**arrays)[0].to(sums)
                    sums[4] += (arrays["labels"] != IGNORED).sum()
            module.train()
            figures = job.judge(accelerator.reduce(sums).cpu().numpy())
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
                with autocast:
                    terms, norm = _update(module, optimizer, step, rate, progress.step, config, accelerator)
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
    optimizer: torch.optim.Optimizer,
    step: Step,
    rate: float,
    number: int,
    config: TrainingConfig,
    accelerator: Accelerator,
) -> tuple[dict[str, float], float]:
    """Take one optimizer step; returns the terms with the loss, and the norm of the gradient before clipping."""
    names = sorted(step.counts)
    counts = torch.tensor([step.counts[name] for name in names], device=accelerator.device)
    totals = {name: int(count) for name, count in zip(names, accelerator.reduce(counts), strict=True)}
    sums: dict[str, Tensor] = {}
    for index, one in enumerate(step.passes):
        torch.manual_seed(_seed(config.seed, number, one.number))  # dropout
        if index + 1 < len(step.passes):
            with accelerator.no_sync(module):
                loss, terms = module(**_on_device(one, accelerator.device), counts=totals)
                accelerator.backward(loss * accelerator.num_processes)
        else:
            loss, terms = module(**_on_device(one, accelerator.device), counts=totals)
            accelerator.backward(loss * accelerator.num_processes)
        for name, value in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0.0) + value
    names = list(sums)
    values = accelerator.reduce(torch.stack([sums[name].double() for name in names])).tolist()
    figures: dict[str, float] = dict(zip(names, values, strict=True))
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    if broken:
        raise TrainingError(
            f"Step {number + 1}: {', '.join(broken)} became {figures[broken[-1]]}. The checkpoints before it are "
            "untouched; lower learning_rate, raise warmup, or use precision fp32."
        )
    norm = float(accelerator.clip_grad_norm_(module.parameters(), config.clip or math.inf))
    if not math.isfinite(norm):
        raise TrainingError(
            f"Step {number + 1}: the gradient's norm became {norm} at a loss of {figures['loss']:.4g}. The checkpoints "
            "before it are untouched; lower learning_rate, raise warmup, or use precision fp32."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return figures, norm


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _on_device(one: Pass, device: torch.device) -> State:
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in one.arrays.items()}


def _optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    state: Mapping[str, Any] = get_optimizer_state_dict(module, optimizer, options=FULL)
    return {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, Tensor)}


def _load_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer, saved: State) -> None:
    state: dict[str, Any] = dict(get_optimizer_state_dict(module, optimizer, options=FULL))
    state |= {name.removeprefix("optimizer."): t for name, t in saved.items() if name.startswith("optimizer.")}
    set_optimizer_state_dict(module, optimizer, state, options=FULL)


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
