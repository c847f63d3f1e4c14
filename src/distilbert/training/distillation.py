"""From settings to a trained model folder: distillation (arXiv 1910.01108, section 3) and masked-LM pretraining."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError
from ..core.files import write_json
from ..core.runner_protocol import Batch
from ..models.auto import AutoTokenizer
from ..models.pytorch import DistilBertForMaskedLM
from ..models.pytorch.runner import PytorchRunner
from ..text.tokenizer_base import TokenizerBase
from . import checkpoints
from .corpus.text_batches import MaskedText, MicroBatch, count_masked, open_text
from .distill_config import DistillConfig, PretrainConfig, TextConfig
from .distill_models import build_pretrained, build_student, load_teacher
from .distill_objective import DistillObjective, LossPlan, loss_plan
from .loop import TrainingSetup, TrainingState, on_device, train
from .processes import agree_on_precision, cpu_threads, make_accelerator
from .reports.model_card import is_ours, write_card
from .reports.training_report import write_report
from .run_folder import ModelFiles, open_run, start_run
from .run_summary import about_run
from .training_progress import MetricsRecord, TrainingProgress


def distill(
    config: DistillConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_record: Callable[[MetricsRecord], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
) -> Path:
    """Distil a teacher into a student and write its folder: model, tokenizer, report, card, metrics, checkpoints.

    Args:
        config: all settings.
        resume: continue from the newest checkpoint in ``config.output``; without one, start at step 0.
        overwrite: start over in a folder that holds a run.
        verbose: show the progress and the evaluations on standard error, or in a notebook below the cell.
        on_record: called with every record of ``metrics.jsonl`` as it is written.
        on_tokenized: called with the documents and tokens of the corpus so far, while it is tokenized.

    Returns:
        The folder.

    Raises:
        ConfigError: the settings do not fit each other, the teacher or the run to resume.
        DataError: text cannot be read, or there is too little of it.
        TrainingError: the loss became infinite or NaN.
        CheckpointError: a checkpoint could not be written, for example because the disk is full.
        WeightsError: the checkpoint to resume from is damaged.
        Interrupted: Ctrl-C or SIGTERM, a KeyboardInterrupt; a checkpoint of the last step is written before.
    """
    with (
        TrainingProgress(verbose, on_record=on_record, on_tokenized=on_tokenized) as progress,
        cpu_threads(config.threads),
    ):
        folder, checkpoint = open_run(config, config.teacher, resume, overwrite, progress.notice)
        teacher = load_teacher(config.teacher)
        student = build_student(config, teacher)
        plan = loss_plan(config, student.config, teacher.config)
        objective = DistillObjective(student, plan, teacher)
        return _train_on_text(config, folder, checkpoint, objective, config.teacher, progress)


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_record: Callable[[MetricsRecord], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
) -> Path:
    """Train the masked-LM objective alone: to add a missing head, to adapt a model to new text, or from scratch.

    Arguments, result and errors are those of :func:`distill`.
    """
    with (
        TrainingProgress(verbose, on_record=on_record, on_tokenized=on_tokenized) as progress,
        cpu_threads(config.threads),
    ):
        folder, checkpoint = open_run(config, config.model, resume, overwrite, progress.notice)
        objective = DistillObjective(build_pretrained(config), LossPlan(chunk=config.chunk))
        return _train_on_text(config, folder, checkpoint, objective, config.model, progress)


def _train_on_text(
    config: TextConfig,
    folder: Path,
    checkpoint: checkpoints.TrainingCheckpoint | None,
    objective: DistillObjective,
    base: str,
    progress: TrainingProgress,
) -> Path:
    """Run the training; ``base`` names the model that the tokenizer comes from."""
    student = objective.student
    longest = student.config.max_position_embeddings
    if config.sequence_length > longest:
        raise ConfigError(f"sequence_length {config.sequence_length} is more than the model's {longest} positions.")
    accelerator = make_accelerator(config, all_weights_used=bool({"ce", "mlm", "mse"} & set(objective.plan.terms)))
    tokenizer = AutoTokenizer.from_pretrained(base)
    if len(tokenizer) > student.config.vocab_size:
        raise ConfigError(
            f"The tokenizer of {base} has {len(tokenizer)} tokens and the model {student.config.vocab_size}: they do "
            "not belong together."
        )
    with accelerator.main_process_first():
        text = open_text(config, tokenizer, progress.show_tokenized)
    text.check(accelerator.num_processes)
    start_run(config, folder, checkpoint, accelerator)
    if config.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    precision = checkpoint.state["precision"] if checkpoint else agree_on_precision(config.precision, accelerator)
    objective.place_teacher(accelerator.device, torch.bfloat16 if precision == "bf16" else torch.float32)
    files = ModelFiles(student, tokenizer)
    setup = TrainingSetup(
        config=config,
        precision=precision,
        objective=objective,
        batches=text,
        steps=text.steps(),
        evaluator=HeldOutEvaluator(text, has_teacher=objective.teacher is not None),
        save_model=files.save,
        load_model=files.load,
        on_record=progress.show_record,
        notice=progress.notice,
    )
    state = train(setup, accelerator, checkpoint)
    if accelerator.is_main_process:
        _write_results(folder, objective, text, tokenizer, state, base)
    accelerator.wait_for_everyone()
    return folder


class HeldOutEvaluator:
    """Evaluates a masked LM on held-out text; see :class:`.loop.Evaluator`."""

    deciding_metric, higher_is_better, before_training = "perplexity", False, True

    def __init__(self, text: MaskedText, has_teacher: bool) -> None:
        self._text, self._has_teacher = text, has_teacher
        self._micro_batches: list[MicroBatch] = []

    def evaluate_share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return (number, values) of each micro-batch.

        The values are the sums of :func:`.loss_terms.held_out_terms` and the number of masked tokens.
        """
        self._micro_batches = self._micro_batches or self._text.held_out(process, processes)
        results = []
        for micro_batch in self._micro_batches:
            sums = module(**on_device(micro_batch, device))[0].tolist()
            results.append((micro_batch.number, [*sums, count_masked(micro_batch.arrays["labels"])]))
        return results

    def metrics(self, results: list[Any]) -> dict[str, float]:
        """Return means over the masked tokens, summed in the same order on any number of processes."""
        sums = np.array([values for _, values in sorted(results)]).sum(axis=0)
        loss, teacher_loss, divergence, agreements, count = sums.tolist()
        metrics = {"loss": loss / count, "perplexity": _perplexity(loss / count)}
        if self._has_teacher:
            metrics |= {
                "kl": divergence / count,
                "agreement": agreements / count,
                "teacher_perplexity": _perplexity(teacher_loss / count),
            }
        return metrics


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # exp overflows soon after


def _write_results(
    folder: Path,
    objective: DistillObjective,
    text: MaskedText,
    tokenizer: TokenizerBase,
    state: TrainingState,
    base: str,
) -> None:
    """Write the model, ``summary.json``, the report and the card."""
    last = checkpoints.newest(folder / "checkpoints")
    assert last is not None
    student = DistilBertForMaskedLM.from_pretrained(last.folder / checkpoints.MODEL)
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    teacher = None if objective.teacher is None else DistilBertForMaskedLM.from_pretrained(base)
    models = _measure_models(student, teacher, text, state)
    write_json(folder / "summary.json", about_run(folder, text.facts, state) | {"models": models})
    write_report(folder)
    card = folder / "README.md"
    if not card.exists() or is_ours(card):
        write_card(folder, base=base)


def _measure_models(
    student: DistilBertForMaskedLM, teacher: DistilBertForMaskedLM | None, text: MaskedText, state: TrainingState
) -> dict[str, dict[str, Any]]:
    """Return sizes, speed and held-out metrics of ``teacher`` and ``student``, or of the only ``model``."""
    models = {"student": student} | ({"teacher": teacher} if teacher is not None else {})
    speeds = encoder_speeds(models, text)
    measured: dict[str, dict[str, Any]] = {
        name: {
            "parameters": model.num_parameters(),
            "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            "layers": model.config.n_layers,
            "dim": model.config.dim,
            "tokens_per_second": speeds[name],
        }
        for name, model in models.items()
    }
    last = state.last
    measured["student"] |= {key: last[key] for key in ("perplexity", "kl", "agreement") if key in last}
    if teacher is None:
        return {"model": measured["student"]}
    measured["teacher"]["perplexity"] = last["teacher_perplexity"]
    return {"teacher": measured["teacher"], "student": measured["student"]}


def encoder_speeds(models: dict[str, DistilBertForMaskedLM], text: MaskedText, rounds: int = 3) -> dict[str, float]:
    """Return the tokens per second of each encoder on held-out text: the best of some rounds, measured in turn."""
    ids = text.held_out(0, 1)[0].arrays["input_ids"]  # (B, S)
    batch = Batch.of(ids.tolist())
    runners = {name: PytorchRunner(model.distilbert) for name, model in models.items()}
    best = dict.fromkeys(models, float("inf"))
    for _ in range(rounds):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner(batch)
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: round(ids.size / seconds, 1) for name, seconds in best.items()}
