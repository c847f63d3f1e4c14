"""One row an example: what it is, what was expected, what was answered. The worst of them are shown to people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...data.examples import (
    MULTI,
    REGRESSION,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from . import truth
from .entities import Counts, count_types
from .metrics import THRESHOLD
from .squad import match

Row = dict[str, Any]
Badness = tuple[float, ...]  # the larger, the worse


def rows(
    task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> tuple[list[Row], list[Badness]]:
    """Return a row an example, ready for JSON, and how bad each answer is.

    A row has ``place``, what was asked, ``expected``, ``got``, ``score`` and ``right`` (None for a regression and for
    fill-mask). The score is the probability of what was answered; of tagging the F1 of the sentence's entities, of a
    regression the error, of fill-mask the perplexity.
    """
    answered = _answered(task_name, examples, predictions, labels)
    made = [_asked(example) | row for example, (row, _) in zip(examples, answered, strict=True)]
    return made, [badness for _, badness in answered]


def worst(made: Sequence[Row], badness: Sequence[Badness], count: int) -> list[Row]:
    """Return up to ``count`` rows that are not right, the worst first."""
    wrong = [index for index, row in enumerate(made) if not row["right"]]
    return [made[index] for index in sorted(wrong, key=lambda index: (*(-b for b in badness[index]), index))[:count]]


def rights(made: Sequence[Row]) -> np.ndarray | None:
    """Return which answers are right, (N,) bool; None where answers are not simply right or wrong."""
    if any(row["right"] is None for row in made):
        return None
    return np.array([row["right"] for row in made], bool)


def _asked(example: Example) -> Row:
    if isinstance(example, TextExample):
        pair = {} if example.text_pair is None else {"text_pair": example.text_pair}
        return {"place": example.place, "text": example.text} | pair
    if isinstance(example, TaggedExample):
        return {"place": example.place, "words": list(example.words)}
    if isinstance(example, QuestionExample):
        return {
            "place": example.place, "key": example.key, "question": example.question, "context": example.context,
        }  # fmt: skip
    return {
        "place": example.place, "context": example.context, "question": example.question,
        "choices": list(example.choices),
    }  # fmt: skip


Answered = Sequence[tuple[Row, Badness]]


def _answered(task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    if task_name == "text-classification":
        kinds: dict[str, Callable[..., Answered]] = {MULTI: _multi_label, REGRESSION: _regression}
        return kinds.get(labels.problem, _single_label)(examples, predictions, labels)
    return {"token-classification": _tagging, "question-answering": _questions, "multiple-choice": _choices}.get(
        task_name, _masks
    )(examples, predictions, labels)


def _row(expected: Any, got: Any, score: float, right: bool | None, **more: Any) -> Row:
    return {"expected": expected, "got": got, "score": round(float(score), 6), "right": right} | more


def _scores(scores: np.ndarray, labels: Labels) -> dict[str, float]:
    return {name: round(float(score), 6) for name, score in zip(labels.names, scores, strict=True)}


def _single_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for expected, scores in zip(truth.classes(examples, labels), predictions, strict=True):
        got = int(scores.argmax())
        names = labels.names[expected], labels.names[got]
        row = _row(*names, scores[got], bool(got == expected), scores=_scores(scores, labels))
        made.append((row, (float(scores[got]), -float(scores[expected]))))
    return made


def _multi_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for expected, scores in zip(truth.class_sets(examples, labels), predictions, strict=True):
        got = scores >= THRESHOLD
        there, found = ([labels.names[place] for place in np.flatnonzero(part)] for part in (expected, got))
        away = float(np.abs(scores - expected).max())  # how sure of the label that is most wrong
        row = _row(there, found, 1 - away, bool((got == expected).all()), scores=_scores(scores, labels))
        made.append((row, (away,)))
    return made


def _regression(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for expected, got in zip(truth.numbers(examples, labels), predictions, strict=True):
        away = abs(float(got[0]) - float(expected))
        made.append((_row(round(float(expected), 6), round(float(got[0]), 6), away, None), (away,)))
    return made


def _tagging(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for expected, got in zip(truth.tags(examples, labels), predictions, strict=True):
        counts = sum(count_types(expected, got).values(), Counts())
        wrong = counts.found + counts.there - 2 * counts.right
        differing = sum(a != b for a, b in zip(expected, got, strict=True))
        row = _row(expected, list(got), counts.f1 if counts.found + counts.there else 1.0, wrong == 0)
        made.append((row, (float(wrong), float(differing))))
    return made


def _questions(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for expected, got in zip(truth.answers(examples), predictions, strict=True):
        found = match(got["text"], expected)
        row = _row(list(dict.fromkeys(expected)), got["text"], got["score"], found.exact > 0, f1=round(found.f1, 6))
        made.append((row, (1 - found.f1, float(got["score"]))))
    return made


def _choices(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    asked = truth.only(examples, ChoiceExample)
    for example, expected, scores in zip(asked, truth.choices(examples), predictions, strict=True):
        got = int(scores.argmax())
        row = _row(
            example.choices[expected], example.choices[got], scores[got], bool(got == expected),
            scores=[round(float(score), 6) for score in scores],
        )  # fmt: skip
        made.append((row, (float(scores[got]), -float(scores[expected]))))
    return made


def _masks(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Answered:
    made = []
    for likelihood, right, masked in predictions:
        loss = -likelihood / max(masked, 1)
        row = _row(f"{masked} masked tokens", f"{right} of them right", math.exp(min(loss, 700.0)), None)
        made.append((row, (loss,)))
    return made
