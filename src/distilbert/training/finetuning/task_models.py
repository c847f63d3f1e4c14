"""The models of a fine-tuning run: the one that is trained, and its teacher."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.runner_protocol import Batch
from ...core.schema import HEADS, Head, head_of
from ...data.examples import Labels, Unit
from ...data.labels import labels_of_config
from ...models import pytorch
from ...models.auto import AutoTokenizer
from ...models.checkpoint import open_checkpoint
from ...models.pytorch import DistilBertModel
from ...models.pytorch.runner import PytorchRunner
from ...tasks.registry import TASKS
from ..distill_models import HEAD as MASKED_LM
from ..distill_models import load_teacher, pick_layers, with_layers
from .finetune_config import FinetuneConfig
from .labelled_batches import labelled_rows

logger = logging.getLogger("distilbert")

BATCH_TOKENS = 4096  # of the teacher


def build_model(config: FinetuneConfig, labels: Labels) -> Any:
    """Load the model to train, with a head for ``labels``; ``seed`` decides what is random.

    The model's own head is kept if it is for this task and these labels; otherwise it starts from random numbers.

    Raises:
        ConfigError: the model has a head for this task with other labels, or a head for another task.
    """
    torch.manual_seed(config.seed)
    head = HEADS[TASKS[config.task].head]
    source = open_checkpoint(config.model).config
    goal = _configured(source, head, labels)
    model_class = getattr(pytorch, head.architecture)
    if _keeps_head(config, source, head, labels):
        model = model_class.from_pretrained(config.model, config=goal)
    else:
        model = model_class(goal)
        encoder = DistilBertModel.from_pretrained(config.model)
        model.distilbert.load_state_dict(encoder.state_dict())
    if config.layers:
        model = with_layers(model, pick_layers(config.layers, model.config.n_layers))
    _freeze(model, config.freeze)
    return model


def label_order(config: DistilBertConfig, labels: Labels, who: str, guess: bool = True) -> list[int] | None:
    """Return which output of a model stands for each of ``labels``; None where there are no names to go by.

    Args:
        config: of the model.
        labels: of the data.
        who: the model, for messages.
        guess: outputs without names are in the order of ``labels``, also where these are more than numbers.

    Raises:
        ConfigError: the model has other labels.
    """
    if not labels.names or len(labels.names) == 1:
        return None
    index = {name: number for number, name in config.id2label.items()}
    for known in (labels.names, labels.values):
        if set(index) == set(known):
            return [index[name] for name in known]
    unnamed = {f"LABEL_{number}" for number in range(len(labels.names))}
    numbers = tuple(map(str, range(len(labels.names))))
    if set(index) == unnamed and (guess or numbers in (labels.names, labels.values)):
        return list(range(len(labels.names)))
    raise ConfigError(
        f"{who} has the labels {', '.join(map(repr, config.id2label.values()))}; the data have "
        f"{', '.join(map(repr, labels.names))}. label_names renames those of the data."
    )


class Teacher:
    """A model for the same task, whose scores are learned.

    Args:
        config: names it.
        labels: of the student.
        low: compute in bf16.

    Raises:
        ConfigError: it has another head, labels or vocabulary.
    """

    def __init__(self, config: FinetuneConfig, labels: Labels, low: bool) -> None:
        self.task = config.task
        head = HEADS[TASKS[config.task].head]
        checkpoint = open_checkpoint(config.teacher)
        source = checkpoint.config
        theirs = head_of(source.architectures)
        tensors = checkpoint.tensors(head)
        if theirs not in (None, head) or any(f"{module}.bias" not in tensors for module in head.modules):
            what = "has no such head" if theirs in (None, head) else f"is a {theirs.architecture}"
            raise ConfigError(
                f"{config.task} needs a {head.architecture} as its teacher; {config.teacher} {what}. "
                f"Fine-tune one first: distilbert finetune --task {config.task} --model {config.teacher} ..."
            )
        self._order = label_order(source, labels, f"The teacher {config.teacher}", guess=False)
        theirs_labels = labels_of_config(source, config.task)
        if labels.names and (len(theirs_labels.names), theirs_labels.problem) != (len(labels.names), labels.problem):
            raise ConfigError(
                f"The teacher {config.teacher} is a model for {_described(theirs_labels)}, and the data have "
                f"{_described(labels)}. problem says what kind of labels the data have."
            )
        mine, others = (AutoTokenizer.from_pretrained(name).get_vocab() for name in (config.model, config.teacher))
        if mine != others:
            raise ConfigError(
                f"The vocabularies of {config.model} and of its teacher {config.teacher} differ: they read other ids."
            )
        if head == MASKED_LM:
            model: Any = load_teacher(config.teacher)
        else:
            model = getattr(pytorch, head.architecture).from_pretrained(config.teacher)
        self.model = model.to(torch.bfloat16 if low else torch.float32).requires_grad_(False)

    def teach(self, units: Sequence[Unit]) -> list[np.ndarray]:
        """Return the scores of each unit: (1, L), (R, L) of its labelled tokens, (S, 2), or (C, 1) of its choices."""
        runner = PytorchRunner(self.model)
        answers: list[Any] = [None] * len(units)
        by_size = sorted(range(len(units)), key=lambda index: sum(map(len, units[index].sequences)))
        for numbers in _batches(by_size, units):
            chosen = [units[number] for number in numbers]
            sequences = [sequence.tolist() for unit in chosen for sequence in unit.sequences]
            rows = [labelled_rows(unit).tolist() for unit in chosen] if self.task == "token-classification" else None
            output = runner(Batch.of(sequences, rows))
            if self.task == "question-answering":
                scores = np.stack([output["start_logits"], output["end_logits"]], axis=1)
                sizes = [len(unit.sequences[0]) for unit in chosen]
            else:
                scores = output["logits"] if self._order is None else output["logits"][:, self._order]
                sizes = [len(row) for row in rows] if rows is not None else [len(unit.sequences) for unit in chosen]
            for number, answer in zip(numbers, np.split(scores, np.cumsum(sizes)[:-1]), strict=True):
                answers[number] = answer
        return answers


def _described(labels: Labels) -> str:
    count = f"{len(labels.names)} label{'s' if len(labels.names) != 1 else ''}"
    return f"{count} ({labels.problem.replace('_', ' ')})" if labels.problem else count


def _batches(order: Sequence[int], units: Sequence[Unit]) -> list[list[int]]:
    made: list[list[int]] = []
    room = 0
    for number in order:
        size = sum(map(len, units[number].sequences))
        if size > room:
            made.append([])
            room = BATCH_TOKENS
        made[-1].append(number)
        room -= size
    return made


def _configured(source: DistilBertConfig, head: Head, labels: Labels) -> DistilBertConfig:
    values = source.to_dict()
    for name in ("id2label", "label2id", "num_labels", "problem_type"):
        values.pop(name, None)
    names = dict(enumerate(labels.names))
    return DistilBertConfig.from_dict(
        values
        | {"architectures": [head.architecture], "problem_type": labels.problem or None}
        | ({"id2label": names, "label2id": {name: number for number, name in names.items()}} if names else {})
    )


def _keeps_head(config: FinetuneConfig, source: DistilBertConfig, head: Head, labels: Labels) -> bool:
    """Say whether the model's head is for this task; raises where it is, or is not, and a person should decide."""
    theirs = head_of(source.architectures)
    if config.fresh_head or theirs is None or not theirs.name or (theirs == MASKED_LM and head != MASKED_LM):
        return head == MASKED_LM and not config.fresh_head
    advice = "fresh_head starts a new head."
    if theirs != head:
        raise ConfigError(f"{config.model} is a {theirs.architecture}, which has no head for {config.task}; {advice}")
    try:
        order = label_order(source, labels, config.model)
    except ConfigError as error:
        raise ConfigError(f"{error} Or {advice}") from None
    if len(source.id2label) != max(1, len(labels.names)) and labels.names:
        raise ConfigError(
            f"{config.model} has {len(source.id2label)} labels and the data {len(labels.names)}; {advice}"
        )
    if order is not None and order != list(range(len(order))):
        raise ConfigError(
            f"{config.model} has the same labels in another order; give label_names in its order, or {advice}"
        )
    return True


def _freeze(model: Any, what: str) -> None:
    """Keep embeddings and the first blocks as they are."""
    if what == "none":
        return
    encoder = model.distilbert
    encoder.embeddings.requires_grad_(False)
    blocks = encoder.transformer.layer
    count = {"embeddings": 0, "encoder": len(blocks)}.get(what, int(what) if what.isdecimal() else 0)
    if count > len(blocks):
        raise ConfigError(f"freeze: the model has {len(blocks)} blocks; got {count}.")
    for block in blocks[:count]:
        block.requires_grad_(False)
