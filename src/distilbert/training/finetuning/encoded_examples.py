"""Labelled examples as token ids with their targets, encoded exactly as the tasks encode when they answer.

The tasks themselves do the encoding, with a stand-in for the model, so that training and answering always agree.
:mod:`.finetune_tasks` says with which parameters, and adds the targets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.config import DistilBertConfig
from ...core.errors import DataError
from ...core.runner_protocol import Batch
from ...core.schema import HEADS, Head
from ...data.examples import FINETUNE_TASKS, Example, Labels
from ...data.labels import check_labels
from ...tasks import task_class
from ...tasks.task_tokenizer import TaskTokenizer
from .finetune_tasks import EncodedExample, finetune_task

CHUNK = 1024  # examples tokenized in one call
LONG_TEXTS = ("window", "cut")


def encode_examples(
    task: str,
    examples: Sequence[Example],
    labels: Labels,
    tokenizer: TaskTokenizer,
    *,
    max_length: int,
    stride: int,
    long_texts: str = "window",
) -> list[EncodedExample]:
    """Tokenize examples, in order.

    Args:
        task: one of ``FINETUNE_TASKS``.
        examples: of this task.
        labels: those of the model.
        tokenizer: of the model.
        max_length: longest sequence in tokens, special ones included.
        stride: tokens that two windows of a long text share.
        long_texts: ``"window"`` encodes every window of a long text; ``"cut"`` keeps the first one. A pair of texts is
            truncated as tokenizers do, the longer one first. Multiple choice always truncates the context.

    Returns:
        One for each example, or several with the same ``example`` if a text has several windows.

    Raises:
        DataError: ``task`` or ``long_texts`` is unknown, or a label is not in ``labels``.
        InputError: ``max_length`` is too short, or ``stride`` is too long for it.
    """
    if task not in FINETUNE_TASKS or long_texts not in LONG_TEXTS:
        raise DataError(
            f"The task must be one of {', '.join(FINETUNE_TASKS)}, and long_texts one of {', '.join(LONG_TEXTS)}; got "
            f"{task!r} and {long_texts!r}."
        )
    check_labels(examples, labels, "the data")
    finetuning, in_windows = finetune_task(task), long_texts == "window"
    encoding_task = task_class(finetuning.encoded_as.name)
    parameters = finetuning.encoding_parameters(max_length, stride, in_windows)
    encoder = encoding_task(_EncodingOnly(HEADS[encoding_task.spec.head], max_length), tokenizer, **parameters)
    encoded: list[EncodedExample] = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        items = [encoder.parse(finetuning.task_input(example), example.place, encoder.params) for example in chunk]
        inputs = encoder.encode(items, encoder.params)
        for number, (example, encoded_input) in enumerate(zip(chunk, inputs, strict=True), start):
            windows = finetuning.with_targets(number, example, encoded_input, labels)
            encoded += windows if in_windows else windows[:1]
    return encoded


class _EncodingOnly:
    """Stands in for the model of a task that only encodes: it knows the longest sequence and the head."""

    def __init__(self, head: Head, max_length: int) -> None:
        self.head = head
        self.config = DistilBertConfig(max_position_embeddings=max_length)

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        raise AssertionError("It encodes only.")
