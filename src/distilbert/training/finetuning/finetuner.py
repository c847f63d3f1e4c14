"""From labelled files to a fine-tuned model folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object

from ...core.errors import ConfigError, DataError
from ...data.examples import (
    REGRESSION,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    Unit,
)
from ...data.labelled import ExampleSet, read_examples
from ...data.labels import check_labels, class_counts, collect_labels
from ...models.auto import AutoTokenizer
from ...text.tokenizer_base import TokenizerBase
from .. import checkpoints
from ..corpus.masking import token_weights
from ..loop import Job, Progress, train
from ..processes import agree_on_precision, make_accelerator
from ..run_folder import ModelFiles, begin, open_run
from .encoded_examples import encode_examples
from .finetune_config import FinetuneConfig
from .finetune_objective import FinetuneObjective
from .judge import Examples
from .labelled_batches import LabelledBatches, Masking
from .outcome import finish
from .sweep import finetune_several
from .task_models import Teacher, build_model

Record = dict[str, Any]
QA_LENGTH = 384
SMOOTHING = 0.7  # of the choice of masked tokens, as in pretraining


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_record: Callable[[Record], None] | None = None,
    on_data: Callable[[str], None] | None = None,
) -> Path:
    """Train a model on labelled data and write its folder: model, tokenizer, report, card, metrics, checkpoints.

    Args:
        config: all settings.
        resume: go on from the newest checkpoint in ``config.output``; start there if there is none.
        overwrite: start anew in a folder that holds a run.
        on_record: is shown every record of ``metrics.jsonl`` as it is written.
        on_data: is told in a line which columns were taken for what, and what was found in them.

    Returns:
        The folder.

    Raises:
        ConfigError: settings that do not fit each other, the models or an earlier run.
        DataError: data that cannot be read or understood; names file and line.
        TrainingError: the loss is no longer a number.
        CheckpointError: the disk is full.
    """
    if config.seeds > 1 or config.learning_rates:
        return finetune_several(
            config, finetune, resume=resume, overwrite=overwrite, on_record=on_record, on_data=on_data
        )
    folder, checkpoint = open_run(config, config.model, resume, overwrite)
    accelerator = make_accelerator(config)
    say = on_data if on_data is not None and accelerator.is_main_process else lambda line: None
    data = read_data(config, say)
    precision = checkpoint.state["precision"] if checkpoint else agree_on_precision(config.precision, accelerator)
    student = build_model(config, data.labels)
    tokenizer = AutoTokenizer.from_pretrained(config.model)
    if len(tokenizer) > student.config.vocab_size:
        raise ConfigError(
            f"The tokenizer of {config.model} has {len(tokenizer)} tokens and the model {student.config.vocab_size}: "
            "they do not belong together."
        )
    if config.gradient_checkpointing:
        student.gradient_checkpointing_enable()
    teacher = Teacher(config, data.labels, precision == "bf16") if config.teacher else None
    batches = _batches(config, data, student.config.max_position_embeddings, tokenizer, teacher, accelerator)
    begin(config, folder, checkpoint, accelerator)
    masked = config.task == "fill-mask"
    asked = teacher.model.to(accelerator.device).eval() if teacher is not None and masked else None
    files = ModelFiles(student, tokenizer)
    every = batches.steps_per_epoch
    evaluate_every = config.evaluate_every or every
    # Where the best counts, every evaluation needs a checkpoint, for it may be the best.
    checkpoint_every = evaluate_every if _wants_best(config) else config.checkpoint_every or every
    job = Job(
        config=replace(config, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every),
        precision=precision,
        objective=FinetuneObjective(student, config, data.labels.problem, asked),
        batches=batches,
        steps=batches.steps(),
        judge=Examples(config.task, student, tokenizer, data.evaluation, data.labels) if data.evaluation else None,
        save_model=files.save,
        load_model=files.load,
        on_record=on_record or (lambda record: None),
        patience=config.patience,
    )
    progress = train(job, accelerator, checkpoint)
    if accelerator.is_main_process:
        _keep(config, folder, type(student), tokenizer, progress)
        finish(config, folder, data.facts | {"units": len(batches.units)}, data.labels, progress)
    accelerator.wait_for_everyone()
    return folder


@dataclass(frozen=True)
class Data:
    """What a run learns from, and what it is judged on.

    Attributes:
        training: labelled examples.
        unlabelled: examples that only the teacher labels.
        evaluation: labelled examples; empty where there are none.
        labels: of the training data.
        facts: what a report says about the data.
    """

    training: list[Example]
    unlabelled: list[Example]
    evaluation: list[Example]
    labels: Labels
    facts: Record


def read_data(config: FinetuneConfig, say: Callable[[str], None]) -> Data:
    """Read what the settings name.

    Raises:
        DataError: a source that cannot be read, a label that only the evaluation data have, too few examples.
    """
    marked = config.task != "fill-mask"

    def read(sources: Sequence[str], split: str, labelled: bool) -> ExampleSet:
        return read_examples(
            config.task, sources, columns=config.columns, delimiter=config.delimiter, split=split, labelled=labelled
        )

    training = read(config.train_data, config.split, marked)
    if len(training.examples) < 2:
        raise DataError(f"{', '.join(config.train_data)}: one example is not enough to train on.")
    labels = collect_labels(config.task, training.examples, problem=config.problem, names=config.label_names)
    said = ", ".join(f"{role} = {column}" for role, column in training.columns.items())
    say(f"{len(training.examples):,} examples to train on{f' ({said})' if said else ''}")
    if config.class_weights != "none" and labels.problem == REGRESSION:
        raise ConfigError("class_weights must be none: the labels are numbers, so that there are no classes.")
    if labels.names:
        shown = ", ".join(labels.names[:12]) + (", ..." if len(labels.names) > 12 else "")
        say(f"{labels.problem.replace('_', ' ') or config.task}, {len(labels.names)} labels: {shown}")
    evaluation: list[Example] = []
    if config.eval_data:
        evaluation = read(config.eval_data, config.eval_split, marked).examples
        check_labels(evaluation, labels, "the evaluation data")
        say(f"{len(evaluation):,} examples to evaluate on")
    found = read(config.unlabelled_data, config.split, False).examples if config.unlabelled_data else []
    more = [_unlabelled(example) for example in found]
    if more:
        say(f"{len(more):,} examples that the teacher labels")
    facts = {
        "sources": config.train_data,
        "columns": training.columns,
        "examples": len(training.examples),
        "unlabelled_examples": len(more),
        "evaluation_sources": config.eval_data,
        "evaluation_examples": len(evaluation),
        "labels": list(labels.names),
        "problem": labels.problem,
    }
    return Data(training.examples, more, evaluation, labels, facts)


def _unlabelled(example: Example) -> Example:
    """Return an example without the label that it may have, be it known or not."""
    if isinstance(example, TaggedExample):
        return replace(example, tags=None)
    if isinstance(example, QuestionExample):
        return replace(example, answers=(), labelled=False)
    return replace(example, label=None)


def _batches(
    config: FinetuneConfig,
    data: Data,
    positions: int,
    tokenizer: TokenizerBase,
    teacher: Teacher | None,
    accelerator: Accelerator,
) -> LabelledBatches:
    if config.max_length > positions:
        raise ConfigError(f"max_length {config.max_length} is more than the model's {positions} positions.")
    length = config.max_length or min(positions, QA_LENGTH if config.task == "question-answering" else positions)
    options: Record = {"max_length": length, "stride": min(config.stride, length // 4), "long_texts": config.long_texts}
    units = encode_examples(config.task, data.training, data.labels, tokenizer, **options)
    units += encode_examples(config.task, data.unlabelled, data.labels, tokenizer, **options)
    masking = None
    if config.task == "fill-mask":
        counts = np.bincount(np.concatenate([unit.sequences[0] for unit in units]), minlength=len(tokenizer))
        masking = Masking(tokenizer, token_weights(counts, tokenizer.all_special_ids, SMOOTHING))
    wise = None
    if teacher is not None and masking is None:
        wise = _taught(teacher, units, accelerator)
    weights = None
    if config.class_weights == "balanced":
        found = class_counts(data.training, data.labels)
        weights = found.sum() / (len(found) * np.maximum(found, 1))
    return LabelledBatches(config, units, class_weights=weights, wise=wise, masking=masking)


def _taught(teacher: Teacher, units: list[Unit], accelerator: Accelerator) -> list[np.ndarray]:
    """Ask the teacher once for all; every process has its share of the work."""
    process, processes = accelerator.process_index, accelerator.num_processes
    teacher.model.to(accelerator.device)
    mine = enumerate(teacher.teach(units[process::processes]))
    shares = gather_object([(process + processes * place, scores) for place, scores in mine])
    return [scores for _, scores in sorted(shares, key=lambda share: share[0])]


def _wants_best(config: FinetuneConfig) -> bool:
    return config.select == "best" or config.patience > 0


def _keep(config: FinetuneConfig, folder: Path, kind: Any, tokenizer: TokenizerBase, progress: Progress) -> None:
    """Copy the model of the checkpoint that is wanted into the folder of the run."""
    found = checkpoints.load_all(folder / "checkpoints")
    wanted = next(one for one in found if one.step == progress.best_step) if _wants_best(config) else found[-1]
    kind.from_pretrained(wanted.folder / checkpoints.MODEL).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
