"""Scores of a teacher that reads other tokens than its student, because it has another vocabulary.

What both see alike are examples, and in token classification their words. So the scores of a text, a choice or a word
can be learned from any teacher; those of tokens, for question answering, from one with the same vocabulary only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ...core.errors import DataError
from .finetune_tasks import EncodedExample, FinetuneTask


def scores_for(
    student: Sequence[EncodedExample],
    teacher: Sequence[EncodedExample],
    scores: Sequence[np.ndarray],
    finetuning: FinetuneTask[Any],
) -> list[np.ndarray]:
    """Return the teacher's scores for each example of the student.

    The windows of a long text may be cut at other words. In token classification the rows are words, whichever window
    they stand in. Otherwise, where the numbers of windows differ, each window gets the mean of the teacher's scores.

    Args:
        student: as the student reads them; all windows of a text lie side by side.
        teacher: the same texts, as the teacher reads them.
        scores: the teacher's scores (R, K) of each of ``teacher``.
        finetuning: the task.

    Raises:
        DataError: a sentence has words that one of the two vocabularies leaves out.
    """
    result: list[np.ndarray] = []
    position = 0
    for (_, own), (_, others) in zip(groupby(student, _number), groupby(teacher, _number), strict=True):
        windows, count = list(own), len(list(others))
        group = list(scores[position : position + count])
        position += count
        sizes = [finetuning.scored_rows(window) for window in windows]
        rows = np.concatenate(group)  # (R, K)
        if len(rows) == sum(sizes):
            result += np.split(rows, np.cumsum(sizes)[:-1])
        elif windows[0].word_starts is None:
            result += [rows.mean(axis=0, keepdims=True)] * len(windows)
        else:
            raise DataError(
                f"Sentence {windows[0].example + 1} has {sum(sizes)} words as the model reads it, and {len(rows)} as "
                "its teacher does: their tokenizers leave out other characters."
            )
    return result


def _number(example: EncodedExample) -> int:
    return example.example
