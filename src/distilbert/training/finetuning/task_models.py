"""The models of a fine-tuning run: the model to train, and its teacher."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import torch

from ...core.config import DistilBertConfig
from ...core.counted import counted
from ...core.errors import ConfigError
from ...core.runner_protocol import Batch, Runner
from ...core.schema import HEADS, Head, head_of
from ...data.examples import Labels
from ...data.labels import labels_of_config
from ...engine.engine_runner import EngineRunner
from ...models import pytorch
from ...models.auto import AutoTokenizer
from ...models.pytorch import DistilBertModel
from ...models.pytorch.runner import PytorchRunner
from ...tasks.registry import TASKS
from ...weights.checkpoint import open_checkpoint
from ..distill_models import MASKED_LM, load_teacher, pick_layers, with_layers
from ..seeded_random import seeded
from .finetune_config import FinetuneConfig
from .finetune_tasks import EncodedExample, finetune_task

logger = logging.getLogger("distilbert")

TEACHER_BATCH_TOKENS = 4096


def build_model(config: FinetuneConfig, labels: Labels) -> Any:
    """Load the model to train, with a head for ``labels``; ``seed`` decides its random weights.

    :func:`check_model_fits` has checked the settings.

    The model's own head is kept if it is for this task and these labels; otherwise the head is initialised at random.

    Raises:
        ConfigError: the model has a head for this task with other labels, or a head for another task.
    """
    head = HEADS[TASKS[config.task].head]
    source = open_checkpoint(config.model).config
    target = _target_config(source, head, labels)
    if config.pooling:
        target.classifier_pooling = config.pooling
    model_class = getattr(pytorch, head.architecture)
    with seeded(config.seed):
        if _keeps_head(config, labels):
            model = model_class.from_pretrained(config.model, config=target)
        else:
            if starts_linear(config, labels):
                target.seq_classif_dropout = 0.0  # its numbers are shifted, and dropping one would drop the shift
            model = model_class(target)
            encoder = DistilBertModel.from_pretrained(config.model)
            model.distilbert.load_state_dict(encoder.state_dict())
    if config.layers:
        model = with_layers(model, pick_layers(config.layers, model.config.n_layers))
    _freeze(model, config.freeze)
    return model


def check_model_fits(config: FinetuneConfig) -> None:
    """Check the settings that depend on the sizes of the model to train, before anything is loaded.

    Raises:
        ConfigError: the model has fewer positions than ``max_length``, or fewer blocks than are to be frozen.
    """
    source = open_checkpoint(config.model).config
    if config.max_length > source.max_position_embeddings:
        raise ConfigError(
            f"max_length {config.max_length} is more than the model's {source.max_position_embeddings} positions."
        )
    blocks = len(pick_layers(config.layers, source.n_layers)) if config.layers else source.n_layers
    if config.freeze.isdecimal() and int(config.freeze) > blocks:
        raise ConfigError(f"freeze: the model has {blocks} blocks; got {config.freeze}.")


def starts_linear(config: FinetuneConfig, labels: Labels) -> bool:
    """Say whether the model gets a new head that starts as the linear model of the vectors of its texts.

    It does not where only a teacher's scores count, and not the labels.
    """
    labels_count = not config.teacher or config.teacher_weight < 1
    if config.task != "text-classification" or config.new_head == "random" or not labels_count:
        return False
    if _keeps_head(config, labels):
        return False
    if config.new_head == "linear":
        return True
    head = head_of(open_checkpoint(config.model).config.architectures)
    return head is not None and not head.name


def label_order(
    config: DistilBertConfig, labels: Labels, model_name: str, assume_order: bool = True
) -> list[int] | None:
    """Return the number of the model's output for each of ``labels``; None if there are no names to compare.

    Args:
        config: of the model.
        labels: of the data.
        model_name: the model in messages.
        assume_order: a model without names for its labels has them in the order of ``labels``, even where the names in
            the data are not numbers.

    Raises:
        ConfigError: the model has other labels.
    """
    if not labels.names or len(labels.names) == 1:
        return None
    index = {name: number for number, name in config.id2label.items()}
    for names in (labels.names, labels.values):
        if set(index) == set(names):
            return [index[name] for name in names]
    default_names = {f"LABEL_{number}" for number in range(len(labels.names))}
    numbers = tuple(map(str, range(len(labels.names))))
    if set(index) == default_names and (assume_order or numbers in (labels.names, labels.values)):
        return list(range(len(labels.names)))
    raise ConfigError(
        f"{model_name} has the labels {', '.join(map(repr, config.id2label.values()))}; the data have "
        f"{', '.join(map(repr, labels.names))}. label_names renames those of the data."
    )


class Teacher:
    """A model for the same task, whose scores the student learns.

    Args:
        config: names the teacher and the model to train.
        labels: of the student.
        low: compute in bf16.

    Attributes:
        model: the teacher.
        tokenizer: of a teacher with another vocabulary than the model to train; None where it is the same.

    Raises:
        ConfigError: it has another head, other labels, or another vocabulary where scores stand for tokens.
    """

    def __init__(self, config: FinetuneConfig, labels: Labels, low: bool) -> None:
        self._finetuning = finetune_task(config.task)
        head = HEADS[TASKS[config.task].head]
        checkpoint = open_checkpoint(config.teacher)
        source = checkpoint.config
        _check_teacher_head(config, head, head_of(source.architectures), checkpoint.tensors(head))
        self._order = label_order(source, labels, f"The teacher {config.teacher}", assume_order=False)
        own = labels_of_config(source, config.task)
        if labels.names and (len(own.names), own.problem) != (len(labels.names), labels.problem):
            raise ConfigError(
                f"The teacher {config.teacher} is a model for {_described(own)}, and the data have "
                f"{_described(labels)}. problem says what kind of labels the data have."
            )
        own_tokenizer, tokenizer = (AutoTokenizer.from_pretrained(name) for name in (config.model, config.teacher))
        self.tokenizer = None if own_tokenizer.get_vocab() == tokenizer.get_vocab() else tokenizer
        if self.tokenizer is not None and (self._finetuning.scores_tokens or head == MASKED_LM):
            raise ConfigError(
                f"The vocabularies of {config.model} and of its teacher {config.teacher} differ: they read other ids, "
                f"and for {config.task} a teacher scores tokens."
            )
        if head == MASKED_LM:
            model: Any = load_teacher(config.teacher)
        else:
            model = getattr(pytorch, head.architecture).from_pretrained(config.teacher)
        self.model = model.to(torch.bfloat16 if low else torch.float32).requires_grad_(False)

    def score(self, examples: Sequence[EncodedExample]) -> list[np.ndarray]:
        """Return the scores of each example.

        Their shapes are (1, labels), or (labelled tokens, labels) for token-classification, (tokens, 2) for
        question-answering and (choices, 1) for multiple-choice.
        """
        runner = self._runner()
        result: list[Any] = [None] * len(examples)
        for numbers in _batches(examples):
            batch = [examples[number] for number in numbers]
            sequences = [sequence.tolist() for example in batch for sequence in example.sequences]
            output = runner(Batch.of(sequences, self._finetuning.teacher_rows(batch)))
            scores = self._finetuning.teacher_scores(output, batch, self._order)
            for number, own_scores in zip(numbers, scores, strict=True):
                result[number] = own_scores
        return result

    def _runner(self) -> Runner:
        """Return the engine on a CPU, which is faster, else PyTorch."""
        if self.model.device.type == "cpu" and self.model.dtype == torch.float32:
            return EngineRunner(self.model, "fp32", torch.get_num_threads())
        return PytorchRunner(self.model)


def _check_teacher_head(config: FinetuneConfig, needed: Head, head: Head | None, tensors: Container[str]) -> None:
    """Raise :class:`ConfigError` if the teacher has no head for the task, or another one.

    Args:
        config: names task and teacher.
        needed: the head of the task.
        head: what the teacher's configuration says; None for nothing.
        tensors: names of the teacher's weights.
    """
    if head in (None, needed) and all(f"{module}.bias" in tensors for module in needed.modules):
        return
    problem = "has no such head" if head is None or head == needed else f"is a {head.architecture}"
    raise ConfigError(
        f"{config.task} needs a {needed.architecture} as its teacher; {config.teacher} {problem}. "
        f"Fine-tune one first: distilbert finetune --task {config.task} --model {config.teacher} ..."
    )


def _described(labels: Labels) -> str:
    count = f"{len(labels.names)} label{'s' if len(labels.names) != 1 else ''}"
    return f"{count} ({labels.problem.replace('_', ' ')})" if labels.problem else count


def _batches(examples: Sequence[EncodedExample]) -> list[list[int]]:
    """Group the numbers of examples of similar size into batches of at most ``TEACHER_BATCH_TOKENS`` tokens."""
    batches: list[list[int]] = []
    room = 0
    for number in sorted(range(len(examples)), key=lambda number: examples[number].tokens):
        size = examples[number].tokens
        if size > room:
            batches.append([])
            room = TEACHER_BATCH_TOKENS
        batches[-1].append(number)
        room -= size
    return batches


def _target_config(source: DistilBertConfig, head: Head, labels: Labels) -> DistilBertConfig:
    values = source.to_dict()
    for name in ("id2label", "label2id", "num_labels", "problem_type"):
        values.pop(name, None)
    names = dict(enumerate(labels.names))
    return DistilBertConfig.from_dict(
        values
        | {"architectures": [head.architecture], "problem_type": labels.problem or None}
        | ({"id2label": names, "label2id": {name: number for number, name in names.items()}} if names else {})
    )


def _keeps_head(config: FinetuneConfig, labels: Labels) -> bool:
    """Say whether the model's own head is kept.

    Raises:
        ConfigError: the model has a head for another task, or other labels, and the settings do not ask for a new head.
    """
    source, head = open_checkpoint(config.model).config, HEADS[TASKS[config.task].head]
    own = head_of(source.architectures)
    if config.fresh_head or own is None or not own.name or (own == MASKED_LM and head != MASKED_LM):
        return head == MASKED_LM and not config.fresh_head
    advice = "fresh_head starts a new head."
    if own != head:
        raise ConfigError(f"{config.model} is a {own.architecture}, which has no head for {config.task}; {advice}")
    try:
        order = label_order(source, labels, config.model)
    except ConfigError as error:
        raise ConfigError(f"{error} Or {advice}") from None
    if len(source.id2label) != max(1, len(labels.names)) and labels.names:
        raise ConfigError(
            f"{config.model} has {counted(len(source.id2label), 'label')} and the data {len(labels.names)}; {advice}"
        )
    if order is not None and order != list(range(len(order))):
        raise ConfigError(
            f"{config.model} has the same labels in another order; give label_names in its order, or {advice}"
        )
    return True


def _freeze(model: Any, what: str) -> None:
    """Freeze the parameters that ``freeze`` of the settings names."""
    if what == "none":
        return
    encoder = model.distilbert
    encoder.embeddings.requires_grad_(False)
    blocks = encoder.transformer.layer
    count = {"embeddings": 0, "encoder": len(blocks)}.get(what, int(what) if what.isdecimal() else 0)
    for block in blocks[:count]:
        block.requires_grad_(False)
