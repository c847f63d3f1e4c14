"""The training loop: optimizer steps on one device or many, evaluations, records and checkpoints.

Random numbers are functions of the seed, the step and the micro-batch. A run that was killed and resumed, or that uses
another number of processes, therefore computes what an uninterrupted run on one process would have computed.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..core.allocator import reusing_memory
from ..core.errors import Interrupted, TrainingError
from . import checkpoints
from .corpus.text_batches import Batches, MicroBatch, Step
from .distill_config import TrainingConfig
from .optimizer import learning_rate
from .processes import (
    OTHER_WEIGHTS,
    Tensors,
    accumulating_gradients,
    distribute,
    load_optimizer,
    load_other_weights,
    model_state,
    optimizer_tensors,
    unsharded,
)
from .reports.metrics_log import MetricsLog, TensorBoardWriter
from .run_inputs import check_same_inputs
from .seeded_random import seeded
from .stop_signals import StopSignals
from .training_progress import RESUME, MetricsRecord

EXPLODED = 3.0  # a mean loss of so many times that of the first record is said


@dataclass
class RunningMeans:
    """Means of the losses and the gradient norm over the steps since the last training record.

    Attributes:
        steps: how many steps were added.
        sums: sum over these steps, by name.
    """

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self.steps += 1
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def take(self) -> dict[str, float]:
        """Return the means and start over."""
        means = {name: total / self.steps for name, total in self.sums.items()}
        self.steps, self.sums = 0, {}
        return means


@dataclass
class TrainingState:
    """How far a run has come; checkpoints hold it as ``state.json``, under these names.

    Attributes:
        step: steps done.
        tokens: tokens seen.
        seconds: time spent, over all resumes.
        best_step: step of the best evaluation, of those at steps that are saved.
        best: value of the deciding metric at that step.
        waited: such evaluations since the best one.
        last: record of the newest evaluation.
        data: position in the data; see :meth:`.text_batches.Batches.restore`.
        precision: ``"fp32"`` or ``"bf16"``; a resumed run keeps it, whichever is faster by then.
        unrecorded: means over the steps that no training record contains yet.
        first_loss: mean loss of the first training record.
        inputs: of the run; see :class:`TrainingSetup`.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best: float | None = None
    waited: int = 0
    last: MetricsRecord = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    precision: str = ""
    unrecorded: RunningMeans = field(default_factory=RunningMeans)
    first_loss: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_checkpoint(cls, values: Mapping[str, Any]) -> Self:
        """Read the content of a ``state.json``; a field that an earlier version did not write gets its default."""
        state = cls()
        for name in asdict(state):
            if name in values:
                setattr(state, name, RunningMeans(**values[name]) if name == "unrecorded" else values[name])
        return state


class Evaluator(Protocol):
    """Measures a model on held-out data, each process a share of them.

    Attributes:
        deciding_metric: the metric that decides which checkpoint is best.
        higher_is_better: whether more of it is better.
        before_training: evaluate before the first step as well.
    """

    deciding_metric: str
    higher_is_better: bool
    before_training: bool

    def evaluate_share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return the results of one process, in any order; they are pickled and sent to the others."""

    def metrics(self, results: list[Any]) -> dict[str, float]:
        """Turn the results of all processes into metrics."""


@dataclass
class TrainingSetup:
    """What is trained, on what, and how it is evaluated and saved.

    Attributes:
        config: settings of the run.
        precision: ``"fp32"`` or ``"bf16"``, of the matrix products.
        objective: module whose call ``(**arrays, counts=...)`` returns the loss and the terms, as contributions to
            means over the step. Its submodule ``student`` is what becomes the model.
        batches: yields the steps.
        inputs: a hash of each thing that the run reads, by what messages call it; a run is resumed with the same ones.
        steps: how many steps to train.
        evaluator: None where there is nothing to evaluate on.
        save_model: writes a model folder, given the state of ``objective``.
        load_model: loads the weights of a folder that ``save_model`` wrote.
        on_record: receives every record of the metrics.
        notice: receives a line about what people need to know.
        patience: stop after so many evaluations without a better one; 0 for never.
    """

    config: TrainingConfig
    precision: str
    objective: nn.Module
    batches: Batches
    inputs: Mapping[str, str]
    steps: int
    evaluator: Evaluator | None
    save_model: Callable[[Path, Tensors], None]
    load_model: Callable[[Path], None]
    on_record: Callable[[MetricsRecord], None]
    notice: Callable[[str], None]
    patience: int = 0


def train(
    setup: TrainingSetup, accelerator: Accelerator, checkpoint: checkpoints.TrainingCheckpoint | None = None
) -> TrainingState:
    """Train ``setup.objective`` until ``setup.steps`` steps are done, or until patience runs out.

    Args:
        setup: model, data and settings.
        accelerator: device and processes.
        checkpoint: where to resume from; None starts at step 0.

    Raises:
        TrainingError: the loss or the gradient is not finite; earlier checkpoints are untouched.
        CheckpointError: a checkpoint could not be written; earlier ones are untouched.
        DataError: an input is not that of the run to resume.
        Interrupted: Ctrl-C or SIGTERM; a checkpoint of the last step is written.
    """
    state, saved = TrainingState(precision=setup.precision), {}
    if checkpoint is not None:
        state = TrainingState.of_checkpoint(checkpoint.state)
        check_same_inputs(state.inputs, setup.inputs)
        setup.load_model(checkpoint.folder / checkpoints.MODEL)
        saved = checkpoint.tensors()
        load_other_weights(setup.objective, saved)
        setup.batches.restore(state.data)
    state.inputs = dict(setup.inputs)
    module, optimizer = distribute(setup.objective, setup.config, accelerator)
    if saved:
        load_optimizer(module, optimizer, saved)
    is_main, folder = accelerator.is_main_process, Path(setup.config.output)
    tensorboard = TensorBoardWriter(
        folder / "tensorboard" if setup.config.tensorboard and is_main else None, state.step
    )
    memory = reusing_memory(accelerator.device.type == "cpu")
    listeners = [tensorboard.log, setup.on_record]
    signals = StopSignals(lambda: setup.notice("stopping after this step; once more stops at once, without saving it"))
    with memory, signals, MetricsLog(folder if is_main else None, state.step, listeners, tensorboard.close) as metrics:
        _Loop(setup, accelerator, state, module, optimizer, metrics, signals).run()
    return state


@dataclass
class _Loop:
    """A run in progress: the objects that its steps, evaluations and checkpoints share."""

    setup: TrainingSetup
    accelerator: Accelerator
    state: TrainingState
    module: nn.Module
    optimizer: Optimizer
    metrics: MetricsLog
    signals: StopSignals

    def __post_init__(self) -> None:
        device = self.accelerator.device
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.state.precision == "bf16")
        self.rank = self.accelerator.process_index, self.accelerator.num_processes
        self.saved_at = time.monotonic()
        self.has_exploded = False  # and people were told

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.setup.patience <= self.state.waited

    def run(self) -> None:
        """Take the remaining steps; record, evaluate and save at the intervals of the settings."""
        setup, config, state = self.setup, self.setup.config, self.state
        self.module.train()
        if state.step == 0 and setup.evaluator is not None and setup.evaluator.before_training:
            self.evaluate(is_saved=False)
        # A thread prepares the next step meanwhile, so that reading, packing and masking cost no time.
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            next_step = pool.submit(setup.batches.step, state.step, *self.rank)
            tokens, seconds = 0, 0.0  # since the last record
            while state.step < setup.steps and not self.out_of_patience:
                start = time.perf_counter()
                step = next_step.result()
                if state.step + 1 < setup.steps:
                    next_step = pool.submit(setup.batches.step, state.step + 1, *self.rank)
                rate = learning_rate(state.step, setup.steps, config)
                losses, gradient_norm = optimizer_step(
                    self.module, self.optimizer, step, rate, state.step, config, self.accelerator, self.autocast
                )
                elapsed = time.perf_counter() - start
                state.step += 1
                state.tokens += step.tokens
                state.seconds += elapsed
                state.data = step.state
                state.unrecorded.add({**losses, "gradient_norm": gradient_norm})
                tokens, seconds = tokens + step.tokens, seconds + elapsed
                is_last = state.step == setup.steps
                if state.step % config.log_every == 0 or is_last:
                    self.record(rate, tokens / max(seconds, 1e-9))
                    tokens, seconds = 0, 0.0
                saves = state.step % config.checkpoint_every == 0 or is_last
                if state.step % config.evaluate_every == 0 or saves:
                    self.evaluate(is_saved=saves)
                stops, is_due = self.agree_on_saving()
                if saves or is_due or stops or self.out_of_patience:
                    self.save()
                if stops and not is_last:
                    raise self.interruption()

    def agree_on_saving(self) -> tuple[bool, bool]:
        """Say whether any process was told to stop, and whether it is time for a checkpoint, on all processes alike."""
        minutes = self.setup.config.checkpoint_minutes
        is_due = 0 < 60 * minutes <= time.monotonic() - self.saved_at and self.accelerator.is_main_process
        wishes = self.signals.received is not None, is_due
        if self.accelerator.num_processes == 1:
            return wishes
        votes = self.accelerator.reduce(torch.tensor(wishes, dtype=torch.int32, device=self.accelerator.device))
        return bool(votes[0] > 0), bool(votes[1] > 0)

    def interruption(self) -> Interrupted:
        """Return what ends the run after Ctrl-C or SIGTERM, of this process or of another one."""
        return Interrupted(
            f"stopped after step {self.state.step}, which is saved in {self.setup.config.output}; {RESUME} the run "
            "goes on from there",
            self.signals.received or signal.SIGTERM,
        )

    def record(self, rate: float, tokens_per_second: float) -> None:
        """Write a training record: the means over the steps since the last one."""
        state = self.state
        terms = state.unrecorded.take()
        loss, gradient_norm = terms.pop("loss"), terms.pop("gradient_norm")
        if state.first_loss is None:
            state.first_loss = loss
        elif loss > EXPLODED * abs(state.first_loss) and not self.has_exploded:
            self.has_exploded = True
            self.setup.notice(
                f"step {state.step}: the loss is {loss:.4g}, after {state.first_loss:.4g} at the beginning. Is the "
                "learning_rate too high, or the warmup too short?"
            )
        self.metrics.write(
            {
                "kind": "train",
                "step": state.step,
                "steps": self.setup.steps,
                "tokens": state.tokens,
                "seconds": round(state.seconds, 3),
                "learning_rate": rate,
                "loss": loss,
                "terms": terms,
                "gradient_norm": gradient_norm,
                "tokens_per_second": round(tokens_per_second, 1),
            }
        )

    def evaluate(self, is_saved: bool) -> None:
        """Evaluate the model, each process a share; of those that are saved, remember which is the best so far."""
        start, state, evaluator = time.perf_counter(), self.state, self.setup.evaluator
        if evaluator is None:
            return
        self.module.eval()
        with self.autocast, torch.no_grad(), unsharded(self.module):
            results = evaluator.evaluate_share(self.module, *self.rank, self.accelerator.device)
        self.module.train()
        metrics = evaluator.metrics(gather_object(results))
        not_finite = [name for name, value in metrics.items() if not math.isfinite(value)]
        if not_finite:
            raise diverged(state.step, f"{not_finite[0]} of the evaluation became {metrics[not_finite[0]]}")
        state.last = {"step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 3)} | metrics
        if is_saved:
            value = metrics[evaluator.deciding_metric]
            if state.best is None or (value > state.best if evaluator.higher_is_better else value < state.best):
                state.best, state.best_step, state.waited = value, state.step, 0
            else:
                state.waited += 1
        self.metrics.write({"kind": "evaluation", **state.last})
        state.seconds += time.perf_counter() - start

    def save(self) -> None:
        """Write a checkpoint and remove those that need not be kept."""
        weights, optimizer = model_state(self.module), optimizer_tensors(self.module, self.optimizer)
        if self.accelerator.is_main_process:
            others = {f"{OTHER_WEIGHTS}{name}": t for name, t in weights.items() if not name.startswith("student.")}
            folder = Path(self.setup.config.output) / "checkpoints"
            checkpoints.save(
                folder,
                self.state.step,
                asdict(self.state),
                others | optimizer,
                lambda path: self.setup.save_model(path, weights),
            )
            checkpoints.tidy(folder, self.setup.config.keep, self.state.best_step)
        self.saved_at = time.monotonic()
        self.accelerator.wait_for_everyone()


def optimizer_step(
    module: nn.Module,
    optimizer: Optimizer,
    step: Step,
    rate: float,
    number: int,
    config: TrainingConfig,
    accelerator: Accelerator,
    autocast: torch.autocast,
) -> tuple[dict[str, float], float]:
    """Run the micro-batches of a step forward and backward, clip the gradient and update the weights.

    Args:
        module: the objective, as :func:`.processes.distribute` returned it.
        optimizer: its optimizer.
        step: the micro-batches of this process.
        rate: learning rate of this step.
        number: of the step, from 0; with the seed it decides the dropout.
        config: ``seed`` and ``clip``.
        accelerator: device and processes.
        autocast: precision of the forward passes.

    Returns:
        The loss (``"loss"``) and its terms, over all processes, and the norm of the gradient before clipping.

    Raises:
        TrainingError: one of these is not finite.
    """
    names = sorted(step.counts)
    counts = torch.tensor([step.counts[name] for name in names], dtype=torch.float64, device=accelerator.device)
    totals = {name: float(count) for name, count in zip(names, accelerator.reduce(counts), strict=True)}
    sums: dict[str, Tensor] = {}
    for index, micro_batch in enumerate(step.micro_batches):
        with (
            seeded(_dropout_seed(config.seed, number, micro_batch.number)),
            accumulating_gradients(module, accelerator, last=index + 1 == len(step.micro_batches)),
        ):
            with autocast:
                loss, terms = module(**on_device(micro_batch, accelerator.device), counts=totals)
            accelerator.backward(loss * accelerator.num_processes)
        for name, value in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0.0) + value
    names = list(sums)
    values = accelerator.reduce(torch.stack([sums[name].double() for name in names])).tolist()
    losses: dict[str, float] = dict(zip(names, values, strict=True))
    not_finite = [name for name, value in losses.items() if not math.isfinite(value)]
    if not_finite:
        raise diverged(number + 1, f"{', '.join(not_finite)} became {losses[not_finite[-1]]}")
    clipped = accelerator.clip_grad_norm_(module.parameters(), config.clip or math.inf)
    norm = float(clipped.full_tensor() if isinstance(clipped, DTensor) else clipped)
    if not math.isfinite(norm):
        raise diverged(number + 1, f"the gradient's norm became {norm} at a loss of {losses['loss']:.4g}")
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return losses, norm


def diverged(step: int, what: str) -> TrainingError:
    """Return the error for the step at which a loss, a metric or the gradient became infinite or NaN."""
    return TrainingError(
        f"Step {step}: {what}. The checkpoints before it are untouched. Start anew with a lower learning_rate, a "
        "longer warmup or precision fp32; to start from a checkpoint, name its folder 'model' as model, and another "
        "output."
    )


def _dropout_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def on_device(micro_batch: MicroBatch, device: torch.device) -> Tensors:
    """Return the arrays of a micro-batch as tensors on the device."""
    return {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in micro_batch.arrays.items()}
