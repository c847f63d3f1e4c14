"""From settings to a trained model folder: distillation (arXiv 1910.01108, section 3) and masked-LM pretraining."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.errors import ConfigError
from ..models.auto import AutoTokenizer
from ..models.pytorch import DistilBertForMaskedLM
from ..text.tokenizer_base import TokenizerBase
from . import checkpoints
from .corpus.masking import IGNORED
from .corpus.text_batches import MaskedText, Pass, open_text
from .distill_config import DistillConfig, PretrainConfig, TextConfig
from .distill_models import build_pretrained, build_student, load_teacher, make_plan
from .distill_objective import Objective, Plan
from .loop import Job, Progress, on_device, train
from .processes import agree_on_precision, make_accelerator
from .reports.model_card import is_ours, write_card
from .reports.training_report import write_report
from .run_folder import ModelFiles, begin, open_run
from .run_summary import write_summary

Record = dict[str, Any]


def distill(
    config: DistillConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_record: Callable[[Record], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
) -> Path:
    """Distil a teacher into a student and write its folder: model, tokenizer, report, card, metrics, checkpoints.

    Args:
        config: all settings.
        resume: go on from the newest checkpoint in ``config.output``; start there if there is none.
        overwrite: start anew in a folder that holds a run.
        on_record: is shown every record of ``metrics.jsonl`` as it is written.
        on_tokenized: is called with the documents and tokens of the corpus done so far.

    Returns:
        The folder.

    Raises:
        ConfigError: settings that do not fit each other, the teacher or an earlier run.
        DataError: text that cannot be read, or too little of it.
        TrainingError: the loss is no longer a number.
        CheckpointError: the disk is full.
    """
    folder, checkpoint = open_run(config, config.teacher, resume, overwrite)
    teacher = load_teacher(config.teacher)
    student = build_student(config, teacher)
    plan = make_plan(config, student.config, teacher.config)
    objective = Objective(student, plan, teacher)
    return _run(config, folder, checkpoint, objective, config.teacher, on_record, on_tokenized)


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_record: Callable[[Record], None] | None = None,
    on_tokenized: Callable[[int, int], None] | None = None,
) -> Path:
    """Train the masked-LM objective alone: a missing head, a model on new text, or one from scratch.

    Arguments, result and errors are those of :func:`distill`.
    """
    folder, checkpoint = open_run(config, config.model, resume, overwrite)
    objective = Objective(build_pretrained(config), Plan(chunk=config.chunk))
    return _run(config, folder, checkpoint, objective, config.model, on_record, on_tokenized)


def _run(
    config: TextConfig,
    folder: Path,
    checkpoint: checkpoints.Checkpoint | None,
    objective: Objective,
    base: str,
    on_record: Callable[[Record], None] | None,
    on_tokenized: Callable[[int, int], None] | None,
) -> Path:
    student = objective.student
    longest = student.config.max_position_embeddings
    if config.sequence_length > longest:
        raise ConfigError(f"sequence_length {config.sequence_length} is more than the model's {longest} positions.")
    accelerator = make_accelerator(config, all_used=bool({"ce", "mlm", "mse"} & set(objective.plan.terms)))
    tokenizer = AutoTokenizer.from_pretrained(base)
    if len(tokenizer) > student.config.vocab_size:
        raise ConfigError(
            f"The tokenizer of {base} has {len(tokenizer)} tokens and the model {student.config.vocab_size}: they do "
            "not belong together."
        )
    with accelerator.main_process_first():
        text = open_text(config, tokenizer, on_tokenized)
    text.check(accelerator.num_processes)
    begin(config, folder, checkpoint, accelerator)
    if config.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    precision = checkpoint.state["precision"] if checkpoint else agree_on_precision(config.precision, accelerator)
    objective.place_teacher(accelerator.device, precision == "bf16")

    files = ModelFiles(student, tokenizer)
    job = Job(
        config=config,
        precision=precision,
        objective=objective,
        batches=text,
        steps=text.steps(),
        judge=HeldOutText(text, objective.teacher is not None),
        save_model=files.save,
        load_model=files.load,
        on_record=on_record or (lambda record: None),
    )
    progress = train(job, accelerator, checkpoint)
    if accelerator.is_main_process:
        _finish(folder, objective, text, tokenizer, progress, base)
    accelerator.wait_for_everyone()
    return folder


def _finish(
    folder: Path,
    objective: Objective,
    text: MaskedText,
    tokenizer: TokenizerBase,
    progress: Progress,
    base: str,
) -> None:
    """Write the model, what was measured, the report and the card."""
    last = checkpoints.newest(folder / "checkpoints")
    assert last is not None
    student = DistilBertForMaskedLM.from_pretrained(last.folder / checkpoints.MODEL)
    student.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    teacher = None if objective.teacher is None else DistilBertForMaskedLM.from_pretrained(base)
    write_summary(folder, student, teacher, text, progress)
    write_report(folder)
    card = folder / "README.md"
    if not card.exists() or is_ours(card):
        write_card(folder, base=base)


class HeldOutText:
    """Judges a masked LM on held-out text; see :class:`.loop.Judge`."""

    best, higher, at_start = "perplexity", False, True

    def __init__(self, text: MaskedText, teacher: bool) -> None:
        self._text, self._teacher = text, teacher
        self._passes: list[Pass] = []

    def share(self, module: nn.Module, process: int, processes: int, device: torch.device) -> list[Any]:
        """Return per pass its number, the sums of :func:`.vocabulary_terms.held_out_terms`, and its masked tokens."""
        self._passes = self._passes or self._text.held_out(process, processes)
        shares = []
        for one in self._passes:
            sums = module(**on_device(one, device))[0].tolist()
            shares.append((one.number, [*sums, int((one.arrays["labels"] != IGNORED).sum())]))
        return shares

    def figures(self, shares: list[Any]) -> Record:
        """Return figures a token, summed in one order however many processes there are."""
        loss, wise, divergence, agreed, count = np.array([sums for _, sums in sorted(shares)]).sum(axis=0).tolist()
        figures = {"loss": loss / count, "perplexity": _perplexity(loss / count)}
        if self._teacher:
            figures |= {
                "kl": divergence / count,
                "agreement": agreed / count,
                "teacher_perplexity": _perplexity(wise / count),
            }
        return figures


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700.0))  # beyond that it would be no number any more
