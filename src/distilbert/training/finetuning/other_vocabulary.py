"""Scores of a teacher that reads other tokens than its student, because it has another vocabulary.

What both see alike are examples, and in token classification their words. So the scores of a text, a choice or a word
can be learned from any teacher; those of tokens, for question answering, from one with the same vocabulary only.

Shapes: R rows of scores, K scores of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from .finetune_tasks import EncodedExample


def scores_for(
    student: Sequence[EncodedExample], teacher: Sequence[EncodedExample], scores: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the teacher's scores for each example of the student, and the weights of their rows.

    The windows of a long text may be cut at other words, and each tokenizer may leave out words of its own. In token
    classification a word has the scores that the teacher gave it, whichever window it stands in; a word that the
    teacher does not read has the weight 0. Otherwise, where the numbers of windows differ, each window gets the mean of
    the teacher's scores.

    Args:
        student: as the student reads them; all windows of a text lie side by side.
        teacher: the same texts, as the teacher reads them.
        scores: the teacher's scores (R, K) of each of ``teacher``.

    Returns:
        Scores (R, K) and weights float32 of each of ``student``: (R,) for words, else (1,).
    """
    result: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    position = 0
    for (_, own), (_, others) in zip(groupby(student, _number), groupby(teacher, _number), strict=True):
        windows, read = list(own), list(others)
        group = list(scores[position : position + len(read)])
        position += len(read)
        if windows[0].words is None:
            alike = len(windows) == len(read)
            result += group if alike else [np.concatenate(group).mean(axis=0, keepdims=True)] * len(windows)
            weights += [np.ones(1, np.float32)] * len(windows)
            continue
        row_of = {word: row for row, word in enumerate(word for window in read for word in _words(window))}
        rows = np.concatenate([*group, np.zeros_like(group[0], shape=(1, group[0].shape[1]))])  # the last: no scores
        for window in windows:
            numbers = np.array([row_of.get(word, -1) for word in _words(window)], np.int64)  # (R,)
            result.append(rows[numbers])
            weights.append((numbers >= 0).astype(np.float32))
    return result, weights


def _number(example: EncodedExample) -> int:
    return example.example


def _words(example: EncodedExample) -> list[int]:
    assert example.words is not None
    words: list[int] = example.words.tolist()
    return words
