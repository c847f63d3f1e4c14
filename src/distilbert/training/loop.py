"""The training loop: steps made of passes, on one device or many, with everything that a resume needs on disk.

Every random number is a function of seed, step and pass, so a run that was killed and resumed, or that runs on another
number of processes, computes what it would have computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..core.allocator import reusing_memory
from ..core.errors import TrainingError
from . import checkpoints
from .corpus.text_batches import Batches, Pass, Step
from .distill_config import TrainingConfig
from .optimizer import learning_rate
from .processes import (
    REST,
    State,
    adding_up,
    gathered,
    load_optimizer,
    load_rest,
    model_state,
    optimizer_tensors,
    spread,
)
from .reports.metrics_log import MetricsLog
from .reports.tensorboard_writer import TensorBoardWriter

Record = dict[str, Any]


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: steps done.
        tokens: tokens seen.
        seconds: time spent, over all resumes.
        best_step: step of the best evaluation.
        best: the figure that decided so.
        waited: evaluations since then.
        last: the newest evaluation.
        data: where the data stand.
        precision: ``"fp32"`` or ``"bf16"``; a resumed run keeps it, whatever is faster by then.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best: float | None = None
    waited: int = 0
    last: Record = field(default_factory=dict)
    data: Record = field(default_factory=dict)
    precision: str = ""


class Judge(Protocol):
    """How a model is evaluated.

    Attributes:
        best: the figure that decides which checkpoint is best.
        higher: whether more of it is better.
        at_start: evaluate before the first step as well.
    """

    best: str
    higher: bool
    at_start: bool

    def share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return what one of the processes adds to the evaluation, in any order; it must pickle."""

    def figures(self, shares: list[Any]) -> Record:
        """Turn what all processes added into figures."""


@dataclass
class Job:
    """What is trained, on what, and how it is judged and saved.

    Attributes:
        config: settings.
        precision: ``"fp32"`` or ``"bf16"``, of the matrix products.
        objective: module whose call ``(**arrays, counts=...)`` gives the loss and the terms, as parts of means over
            the step. What is saved as a model is called ``student`` in it.
        batches: where the steps come from.
        steps: how many steps to train.
        judge: evaluates; None where there is nothing to evaluate on.
        save_model: writes a model folder, given the state of ``objective``.
        load_model: takes the weights of a folder that ``save_model`` wrote.
        on_record: is shown every record of the metrics.
        patience: stop after so many evaluations without a better one; 0 for never.
    """

    config: TrainingConfig
    precision: str
    objective: nn.Module
    batches: Batches
    steps: int
    judge: Judge | None
    save_model: Callable[[Path, State], None]
    load_model: Callable[[Path], None]
    on_record: Callable[[Record], None]
    patience: int = 0


def train(job: Job, accelerator: Accelerator, resume: checkpoints.Checkpoint | None = None) -> Progress:
    """Train ``job.objective`` until ``job.steps`` steps are done, or it no longer gets better.

    Args:
        job: everything else.
        accelerator: device and processes.
        resume: checkpoint to go on from.

    Raises:
        TrainingError: the loss or the gradient is not finite; the checkpoints so far are untouched.
        CheckpointError: a checkpoint could not be written; those before it are untouched.
    """
    progress, saved = Progress(precision=job.precision), {}
    if resume is not None:
        progress = Progress(**{name: resume.state[name] for name in asdict(progress)})
        job.load_model(resume.folder / checkpoints.MODEL)
        saved = resume.tensors()
        load_rest(job.objective, saved)
        job.batches.restore(progress.data)
    module, optimizer = spread(job.objective, job.config, accelerator)
    if saved:
        load_optimizer(module, optimizer, saved)
    main, folder = accelerator.is_main_process, Path(job.config.output)
    board = TensorBoardWriter(folder / "tensorboard" if job.config.tensorboard and main else None, progress.step)
    reused = reusing_memory(accelerator.device.type == "cpu")
    log = MetricsLog(folder if main else None, progress.step, [board.log, job.on_record], board.close)
    with reused, log as metrics:
        _Run(job, accelerator, progress, module, optimizer, metrics).train()
    return progress


@dataclass
class _Run:
    """A run in motion; its methods are what happens now and then."""

    job: Job
    accelerator: Accelerator
    progress: Progress
    module: nn.Module
    optimizer: Optimizer
    metrics: MetricsLog

    def __post_init__(self) -> None:
        device = self.accelerator.device
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.progress.precision == "bf16")

    @property
    def _place(self) -> tuple[int, int]:
        return self.accelerator.process_index, self.accelerator.num_processes

    @property
    def _stopping(self) -> bool:
        return 0 < self.job.patience <= self.progress.waited

    def train(self) -> None:
        """Take the steps that are left; log, evaluate and save where it is time to."""
        job, config, progress = self.job, self.job.config, self.progress
        self.module.train()
        if progress.step == 0 and job.judge is not None and job.judge.at_start:
            self.evaluate()
        # One step ahead, so that reading, packing and masking cost no time.
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            ahead = pool.submit(job.batches.step, progress.step, *self._place)
            tokens, seconds = 0, 0.0  # since the last line of progress
            while progress.step < job.steps and not self._stopping:
                start = time.perf_counter()
                step = ahead.result()
                if progress.step + 1 < job.steps:
                    ahead = pool.submit(job.batches.step, progress.step + 1, *self._place)
                rate = learning_rate(progress.step, job.steps, config)
                terms, norm = update(
                    self.module, self.optimizer, step, rate, progress.step, config, self.accelerator, self.autocast
                )
                elapsed = time.perf_counter() - start
                progress.step += 1
                progress.tokens += step.tokens
                progress.seconds += elapsed
                progress.data = step.state
                tokens, seconds = tokens + step.tokens, seconds + elapsed
                last = progress.step == job.steps
                if progress.step % config.log_every == 0 or last:
                    self.metrics.write(
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
                            "tokens_per_second": round(tokens / max(seconds, 1e-9), 1),
                        }
                    )
                    tokens, seconds = 0, 0.0
                keeping = progress.step % config.checkpoint_every == 0 or last
                if progress.step % config.evaluate_every == 0 or keeping:
                    self.evaluate()
                if keeping or self._stopping:
                    self.save()

    def evaluate(self) -> None:
        """Judge the model; every process has its share of the work."""
        start, progress, judge = time.perf_counter(), self.progress, self.job.judge
        if judge is None:
            return
        self.module.eval()
        with self.autocast, torch.no_grad(), gathered(self.module):
            share = judge.share(self.module, *self._place, self.accelerator.device)
        self.module.train()
        figures = judge.figures(gather_object(share))
        broken = [name for name, value in figures.items() if not math.isfinite(value)]
        if broken:
            raise no_number(progress.step, f"{broken[0]} of the evaluation became {figures[broken[0]]}")
        progress.last = {"step": progress.step, "tokens": progress.tokens, "seconds": round(progress.seconds, 3)}
        progress.last |= figures
        value = figures[judge.best]
        if progress.best is None or (value > progress.best if judge.higher else value < progress.best):
            progress.best, progress.best_step, progress.waited = value, progress.step, 0
        else:
            progress.waited += 1
        self.metrics.write({"kind": "evaluation", **progress.last})
        progress.seconds += time.perf_counter() - start

    def save(self) -> None:
        """Write a checkpoint and remove those that are no longer wanted."""
        state, remembered = model_state(self.module), optimizer_tensors(self.module, self.optimizer)
        if self.accelerator.is_main_process:
            rest = {f"{REST}{name}": tensor for name, tensor in state.items() if not name.startswith("student.")}
            folder = Path(self.job.config.output) / "checkpoints"
            checkpoints.save(
                folder,
                self.progress.step,
                asdict(self.progress),
                rest | remembered,
                lambda path: self.job.save_model(path, state),
            )
            checkpoints.tidy(folder, self.job.config.keep, self.progress.best_step)
        self.accelerator.wait_for_everyone()


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
