"""Labelled examples as token ids with their targets, encoded exactly as the tasks encode when they answer.

The tasks themselves do the encoding, with a stand-in for the model, so that training and answering always agree.

Shapes: S tokens of a sequence, W words, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.config import DistilBertConfig
from ...core.errors import DataError
from ...core.runner_protocol import Batch
from ...core.schema import HEADS, Head
from ...data.examples import (
    FINETUNE_TASKS,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from ...data.labels import check_labels, tags_of, target_of
from ...tasks import Task, task_class
from ...tasks.batching import EncodedInput
from ...tasks.task_tokenizer import TaskTokenizer, TextEncoding
from ..corpus.masking import IGNORED

CHUNK = 1024  # examples tokenized in one call
LONG_TEXTS = ("window", "cut")


@dataclass(frozen=True, eq=False)
class EncodedExample:
    """What a training step draws as a whole: one sequence, or for multiple choice one sequence for each choice.

    Attributes:
        sequences: ids (S,) of each sequence, special tokens included.
        example: index of the example; all windows of a long text have the same.
        target: None without a label, and for fill-mask; otherwise an array of

            - text-classification: () int64, the label; (L,) float32 of zeros and ones (multi-label); () float32
              (regression)
            - token-classification: (S,) int64, the label at the first token of each word, -100 elsewhere
            - question-answering: (2,) int64, first and last token of the answer; 0, 0 if this window has none
            - multiple-choice: () int64, the choice

        allowed: question-answering: (S,) bool, the tokens of the context; else None.
    """

    sequences: tuple[np.ndarray, ...]
    example: int
    target: np.ndarray | None = None
    allowed: np.ndarray | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(map(len, self.sequences))


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
    encoder = _encoder(task, tokenizer, max_length, stride, long_texts == "window")
    encoded: list[EncodedExample] = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        items = [encoder.parse(_task_input(example), example.place, encoder.params) for example in chunk]
        inputs = encoder.encode(items, encoder.params)
        for number, (example, encoded_input) in enumerate(zip(chunk, inputs, strict=True), start):
            windows = _with_targets(number, example, encoded_input, labels)
            encoded += windows if long_texts == "window" else windows[:1]
    return encoded


class _EncodingOnly:
    """Stands in for the model of a task that only encodes: it knows the longest sequence and the head."""

    def __init__(self, head: Head, max_length: int) -> None:
        self.head = head
        self.config = DistilBertConfig(max_position_embeddings=max_length)

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        raise AssertionError("It encodes only.")


def _encoder(task: str, tokenizer: TaskTokenizer, max_length: int, stride: int, keeps_all: bool) -> Task[Any]:
    params: dict[str, Any]
    if task == "question-answering":
        params = {"max_seq_len": max_length, "doc_stride": stride}
    elif task == "token-classification":
        params = {"stride": stride, "is_split_into_words": True}
    elif task == "multiple-choice":
        params = {}
    else:  # fill-mask encodes its texts like any other; masks are drawn later
        task = "text-classification"
        params = {"stride": stride} if keeps_all else {"truncation": True, "max_length": max_length}
    answering = task_class(task)
    return answering(_EncodingOnly(HEADS[answering.spec.head], max_length), tokenizer, **params)


def _task_input(example: Example) -> Any:
    if isinstance(example, TextExample):
        return example.text if example.text_pair is None else {"text": example.text, "text_pair": example.text_pair}
    if isinstance(example, TaggedExample):
        return example.words
    if isinstance(example, QuestionExample):
        return {"question": example.question, "context": example.context}
    return {"context": example.context, "question": example.question, "choices": example.choices}


def _with_targets(number: int, example: Example, encoded: EncodedInput, labels: Labels) -> list[EncodedExample]:
    """Return an encoded example, or one for each window of a long one, with targets."""
    sequences = [np.array(sequence, np.int64) for sequence in encoded.sequences]  # (S,) each
    if isinstance(example, ChoiceExample):
        choice = None if example.label is None else np.array(example.label, np.int64)
        return [EncodedExample(tuple(sequences), number, choice)]
    if isinstance(example, TextExample):
        target = target_of(example, labels) if labels.names else None
        return [EncodedExample((sequence,), number, target) for sequence in sequences]
    windows: Sequence[TextEncoding] = encoded.metadata.windows
    if isinstance(example, TaggedExample):
        targets = _tag_targets(tags_of(example, labels), windows)
        return [EncodedExample((ids,), number, target) for ids, target in zip(sequences, targets, strict=True)]
    allowed = [np.array([sequence == 1 for sequence in window.sequence_ids]) for window in windows]  # (S,) each
    spans = _answer_targets(example, windows, allowed)
    return [
        EncodedExample((ids,), number, span, mask) for ids, span, mask in zip(sequences, spans, allowed, strict=True)
    ]


def _tag_targets(tags: np.ndarray | None, windows: Sequence[TextEncoding]) -> list[np.ndarray | None]:
    """Return the targets of the windows of a sentence: the tag of each word at its first piece, in one window only.

    Args:
        tags: (W,) label of each word; without them the targets are None.
        windows: in any order.
    """
    if tags is None:
        return [None] * len(windows)
    targets: list[np.ndarray | None] = [None] * len(windows)
    seen: set[int] = set()
    for window in sorted(range(len(windows)), key=lambda window: _first_word(windows[window])):
        words = windows[window].word_ids
        target = np.full(len(words), IGNORED, np.int64)  # (S,)
        for token, word in enumerate(words):
            if word is not None and word not in seen:
                seen.add(word)
                target[token] = tags[word]
        targets[window] = target
    return targets


def _first_word(window: TextEncoding) -> tuple[int, int]:
    """Return the word of the first token, and the start of the token in that word."""
    return next(
        ((word, start) for word, (start, _) in zip(window.word_ids, window.offsets, strict=True) if word is not None),
        (0, 0),
    )


def _answer_targets(
    example: QuestionExample, windows: Sequence[TextEncoding], allowed: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Return the first and last token of the answer in each window, (2,) int64; 0, 0 if it is not completely inside."""
    if not example.labelled:
        return [None] * len(windows)
    targets: list[np.ndarray | None] = [np.zeros(2, np.int64) for _ in windows]
    if not example.answers:
        return targets
    answer = example.answers[0]
    start = answer.start + len(answer.text) - len(answer.text.lstrip())  # in characters of the context
    stop = answer.start + len(answer.text.rstrip())
    token_offsets = [np.array(window.offsets)[mask] for window, mask in zip(windows, allowed, strict=True)]
    first_token = min((int(offsets[0, 0]) for offsets in token_offsets if len(offsets)), default=0)
    last_token = max((int(offsets[-1, 1]) for offsets in token_offsets if len(offsets)), default=0)
    for number, (offsets, mask) in enumerate(zip(token_offsets, allowed, strict=True)):
        # Where the answer reaches beyond the first or last token of the context, no token of it is cut off.
        if not len(offsets) or offsets[0, 0] > max(start, first_token) or offsets[-1, 1] < min(stop, last_token):
            continue
        first = int(np.searchsorted(offsets[:, 1], start, side="right"))
        last = int(np.searchsorted(offsets[:, 0], stop, side="left")) - 1
        if first <= last:
            targets[number] = np.flatnonzero(mask)[[first, last]]
    return targets
