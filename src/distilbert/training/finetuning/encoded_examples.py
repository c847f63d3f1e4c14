"""Examples as units of training: the very sequences that the tasks build when they answer, with their targets.

The tasks themselves encode, over a stand-in for the model, so that training and answering cannot drift apart.
Legend: S tokens of a sequence, W words.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    Unit,
)
from ...data.labels import check_labels, tags_of, target_of
from ...tasks import Task, task_class
from ...tasks.batching import EncodedInput
from ...tasks.task_tokenizer import TaskTokenizer, TextEncoding

CHUNK = 1024  # examples tokenized in one call
IGNORED = -100  # the target of tokens that nothing is learnt from
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
) -> list[Unit]:
    """Tokenize examples into units, in order.

    Args:
        task: one of ``FINETUNE_TASKS``.
        examples: of this task.
        labels: those of the model.
        tokenizer: of the model.
        max_length: longest sequence in tokens, special ones included.
        stride: tokens that two windows of a long text share.
        long_texts: ``"window"`` makes a unit of every window of a long text; ``"cut"`` keeps the first one. A pair of
            texts is cut as tokenizers do, the longer one first. Multiple choice always cuts the context.

    Returns:
        One unit an example, or several that have the same ``example``.

    Raises:
        DataError: the task or ``long_texts`` is none of those above, or a label is none of ``labels``.
        InputError: ``max_length`` is too short, or ``stride`` too long for it.
    """
    if task not in FINETUNE_TASKS or long_texts not in LONG_TEXTS:
        raise DataError(
            f"The task must be one of {', '.join(FINETUNE_TASKS)}, and long_texts one of {', '.join(LONG_TEXTS)}; got "
            f"{task!r} and {long_texts!r}."
        )
    check_labels(examples, labels, "the data")
    encoder = _encoder(task, tokenizer, max_length, stride, long_texts == "window")
    units: list[Unit] = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        items = [encoder.parse(_item(example), example.place, encoder.params) for example in chunk]
        works = encoder.encode(items, encoder.params)
        for number, (example, work) in enumerate(zip(chunk, works, strict=True), start):
            found = _units(number, example, work, labels)
            units += found if long_texts == "window" else found[:1]
    return units


class _Lengths:
    """What tasks ask of a model while they encode: its longest sequence and its head."""

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
    else:  # a text to fill a mask in is one like any other until masks are drawn
        task = "text-classification"
        params = {"stride": stride} if keeps_all else {"truncation": True, "max_length": max_length}
    answering = task_class(task)
    return answering(_Lengths(HEADS[answering.spec.head], max_length), tokenizer, **params)


def _item(example: Example) -> Any:
    """Return an example as the input of its task."""
    if isinstance(example, TextExample):
        return example.text if example.text_pair is None else {"text": example.text, "text_pair": example.text_pair}
    if isinstance(example, TaggedExample):
        return example.words
    if isinstance(example, QuestionExample):
        return {"question": example.question, "context": example.context}
    return {"context": example.context, "question": example.question, "choices": example.choices}


def _units(number: int, example: Example, work: EncodedInput, labels: Labels) -> list[Unit]:
    sequences = [np.array(sequence, np.int64) for sequence in work.sequences]  # (S,) each
    if isinstance(example, ChoiceExample):
        return [Unit(tuple(sequences), number, None if example.label is None else np.array(example.label, np.int64))]
    if isinstance(example, TextExample):
        target = target_of(example, labels) if labels.names else None
        return [Unit((sequence,), number, target) for sequence in sequences]
    windows: Sequence[TextEncoding] = work.metadata.windows
    if isinstance(example, TaggedExample):
        targets = _tag_targets(tags_of(example, labels), windows)
        return [Unit((ids,), number, target) for ids, target in zip(sequences, targets, strict=True)]
    allowed = [np.array([sequence == 1 for sequence in window.sequence_ids]) for window in windows]  # (S,) each
    spans = _answer_targets(example, windows, allowed)
    return [Unit((ids,), number, span, mask) for ids, span, mask in zip(sequences, spans, allowed, strict=True)]


def _tag_targets(tags: np.ndarray | None, windows: Sequence[TextEncoding]) -> list[np.ndarray | None]:
    """Return the targets of windows of a sentence: the tag of each word at its first piece, in one window only.

    Args:
        tags: (W,) label of each word; None gives None.
        windows: in any order.
    """
    if tags is None:
        return [None] * len(windows)
    targets: list[np.ndarray | None] = [None] * len(windows)
    seen: set[int] = set()
    for window in sorted(range(len(windows)), key=lambda window: _first_place(windows[window])):
        words = windows[window].word_ids
        target = np.full(len(words), IGNORED, np.int64)  # (S,)
        for token, word in enumerate(words):
            if word is not None and word not in seen:
                seen.add(word)
                target[token] = tags[word]
        targets[window] = target
    return targets


def _first_place(window: TextEncoding) -> tuple[int, int]:
    """Word of the first token, and where in the word it starts."""
    return next(
        ((word, start) for word, (start, _) in zip(window.word_ids, window.offsets, strict=True) if word is not None),
        (0, 0),
    )


def _answer_targets(
    example: QuestionExample, windows: Sequence[TextEncoding], allowed: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Return the first and last token of the answer in each window: (2,) int64; 0, 0 where it is not wholly inside."""
    if not example.labelled:
        return [None] * len(windows)
    targets: list[np.ndarray | None] = [np.zeros(2, np.int64) for _ in windows]
    if not example.answers:
        return targets
    answer = example.answers[0]
    start = answer.start + len(answer.text) - len(answer.text.lstrip())  # in characters of the context
    stop = answer.start + len(answer.text.rstrip())
    offsets = [np.array(window.offsets)[mask] for window, mask in zip(windows, allowed, strict=True)]
    begin = min((int(places[0, 0]) for places in offsets if len(places)), default=0)
    end = max((int(places[-1, 1]) for places in offsets if len(places)), default=0)
    for number, (places, mask) in enumerate(zip(offsets, allowed, strict=True)):
        # Characters before the first token of all and after the last have no tokens, so that none can be cut off.
        if not len(places) or places[0, 0] > max(start, begin) or places[-1, 1] < min(stop, end):
            continue
        first = int(np.searchsorted(places[:, 1], start, side="right"))
        last = int(np.searchsorted(places[:, 0], stop, side="left")) - 1
        if first <= last:
            targets[number] = np.flatnonzero(mask)[[first, last]]
    return targets
