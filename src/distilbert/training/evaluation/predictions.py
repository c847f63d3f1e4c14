"""What a model answers to labelled examples: the answers of its task, as a user of ``pipeline`` gets them.

Legend: L labels, C choices, S tokens of a text, R masked tokens of a window, V vocabulary.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from ...core.errors import InputError
from ...data.examples import ChoiceExample, Example, QuestionExample, TaggedExample, TextExample
from ...tasks import Task
from ...tasks.batching import EncodedInput, run_encoded
from ...tasks.windows import add_special
from ...text.truncation import window_spans
from ..corpus.masking import IGNORED, mask_tokens
from .truth import only

OUTSIDE = "O"  # the tag of a word that no token stands for
MASK_SEED = 0  # masks depend on the place of an example alone, so that any two models guess the same ones

Progress = Callable[[int, int], None]  # examples done, and of how many


def predict(task: Task[Any], examples: Sequence[Example], *, on_progress: Progress | None = None) -> list[Any]:
    """Answer examples.

    Args:
        task: any task of ``FINETUNE_TASKS``, over any runner.
        examples: what it is asked; labels are not looked at.
        on_progress: called with the number of examples done, and of all.

    Returns:
        One prediction an example:

        - text-classification: (L,) float32 probabilities in the order of the labels, the number itself of a regression
        - token-classification: a tuple of tags, that of the first token of each word, "O" for a word without tokens
        - question-answering: ``{"text": str, "score": float}``; "no answer" takes part if an example has none
        - multiple-choice: (C,) float32 probabilities
        - fill-mask: sum of the log-probabilities of masked tokens, how many were guessed right, how many there were

    Raises:
        InputError: the task cannot be evaluated, or an example is nothing that it takes.
        DataError: an example is of another kind than the task needs.
    """
    if task.task not in _ANSWERING:
        raise InputError(f"The task {task.task!r} cannot be evaluated; {', '.join(_ANSWERING)} can.")
    answer = _ANSWERING[task.task](task, examples)
    predictions: list[Any] = []
    for start in range(0, len(examples), task.chunk_size):
        predictions += answer(examples[start : start + task.chunk_size], start)
        if on_progress is not None:
            on_progress(len(predictions), len(examples))
    return predictions


Answering = Callable[[Sequence[Example], int], list[Any]]  # a part of the examples, and the index of its first


def _text_classification(task: Task[Any], examples: Sequence[Example]) -> Answering:
    config = task.config
    params: dict[str, Any] = {"return_all_scores": True}
    if config.num_labels == 1 and config.problem_type is None:  # what the model is trained with, too
        params["function_to_apply"] = "none"

    def answer(part: Sequence[Example], first: int) -> list[Any]:
        inputs = [
            {"text": e.text} | ({"text_pair": e.text_pair} if e.text_pair else {}) for e in only(part, TextExample)
        ]
        return [np.array([one["score"] for one in found], np.float32) for found in task(inputs, **params)]

    return answer


def _token_classification(task: Task[Any], examples: Sequence[Example]) -> Answering:
    def answer(part: Sequence[Example], first: int) -> list[Any]:
        sentences = [list(example.words) for example in only(part, TaggedExample)]
        found = task(sentences, is_split_into_words=True, delimiter=" ", aggregation_strategy="none", ignore_labels=[])
        return [_word_tags(words, tokens) for words, tokens in zip(sentences, found, strict=True)]

    return answer


def _word_tags(words: list[str], tokens: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the tag of each word's first token; offsets of tokens refer to the words joined by spaces."""
    starts = list(accumulate((len(word) + 1 for word in words[:-1]), initial=0))
    tags: dict[int, str] = {}
    for token in tokens:
        tags.setdefault(bisect_right(starts, token["start"]) - 1, token["entity"])
    return tuple(tags.get(index, OUTSIDE) for index in range(len(words)))


def _question_answering(task: Task[Any], examples: Sequence[Example]) -> Answering:
    impossible = any(example.labelled and not example.answers for example in only(examples, QuestionExample))

    def answer(part: Sequence[Example], first: int) -> list[Any]:
        inputs = [{"question": e.question, "context": e.context} for e in only(part, QuestionExample)]
        found = task(inputs, top_k=1, handle_impossible_answer=impossible)
        return [{"text": one["answer"], "score": one["score"]} for one in found]

    return answer


def _multiple_choice(task: Task[Any], examples: Sequence[Example]) -> Answering:
    def answer(part: Sequence[Example], first: int) -> list[Any]:
        inputs = [
            {"context": e.context, "question": e.question, "choices": list(e.choices)}
            for e in only(part, ChoiceExample)
        ]
        return [np.array(one["scores"], np.float32) for one in task(inputs)]

    return answer


def _fill_mask(task: Task[Any], examples: Sequence[Example]) -> Answering:
    weights = np.ones(task.config.vocab_size)
    tokenizer = task.tokenizer
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id]
    weights[[token for token in special if token is not None]] = 0

    def answer(part: Sequence[Example], first: int) -> list[Any]:
        texts = tokenizer.encode_ids([example.text for example in only(part, TextExample)], None, False)
        works, owners = [], []
        for index, ids in enumerate(texts):
            if work := _masked(task, ids, weights, first + index):
                works.append(work)
                owners.append(index)
        made = [(0.0, 0, 0)] * len(texts)
        for number, outputs in run_encoded(works, task.runner, task.batch_tokens, task.batch_size):
            logits = np.concatenate([output["logits"] for output in outputs]).astype(np.float64)  # (R, V)
            true = works[number].metadata  # (R,)
            shifted = logits - logits.max(axis=1, keepdims=True)
            own = shifted[np.arange(len(true)), true] - np.log(np.exp(shifted).sum(axis=1))  # (R,)
            made[owners[number]] = float(own.sum()), int((logits.argmax(axis=1) == true).sum()), len(true)
        return made

    return answer


def _masked(task: Task[Any], ids: list[int], weights: np.ndarray, number: int) -> EncodedInput | None:
    """Hide 15 % of a text, and cut it into windows side by side; None if it has nothing to hide."""
    if not ids:
        return None
    row = np.array([ids], np.int64)  # (1, S)
    masked = mask_tokens(
        row, weights, seed=MASK_SEED, first=number, mask_token_id=task.tokenizer.mask_token_id or 0,
        vocab_size=len(weights), split=(1.0, 0.0, 0.0),
    )  # fmt: skip
    sequences, rows, true = [], [], []
    for start, stop in window_spans(len(ids), task.max_tokens - 2, 0):
        labels = masked.labels[0, start:stop]
        hidden = np.flatnonzero(labels != IGNORED)
        if len(hidden):
            sequences.append(add_special(task.tokenizer, masked.input_ids[0, start:stop].tolist()))
            rows.append((hidden + 1).tolist())  # [CLS] stands before
            true.append(labels[hidden])
    return EncodedInput(sequences, np.concatenate(true), rows) if sequences else None


_ANSWERING: dict[str, Callable[[Task[Any], Sequence[Example]], Answering]] = {
    "text-classification": _text_classification,
    "token-classification": _token_classification,
    "question-answering": _question_answering,
    "multiple-choice": _multiple_choice,
    "fill-mask": _fill_mask,
}
