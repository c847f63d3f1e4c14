"""What examples say is right, in the form that metrics compare with. Legend: N examples, L labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ...core.errors import DataError
from ...data.examples import ChoiceExample, Example, Labels, QuestionExample, TaggedExample, TextExample
from ...data.labels import check_labels, target_of

E = TypeVar("E", TextExample, TaggedExample, QuestionExample, ChoiceExample)


def only(examples: Sequence[Example], kind: type[E]) -> list[E]:
    """Return the examples, all of which must be of one kind.

    Raises:
        DataError: one is of another kind; the message names it.
    """
    for example in examples:
        if not isinstance(example, kind):
            raise DataError(f"{example.place} is a {type(example).__name__}; this task needs a {kind.__name__}.")
    return list(examples)  # type: ignore[arg-type]


def classes(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return the label of each example: (N,) int64."""
    return np.array(_targets(examples, labels), np.int64)


def class_sets(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return which labels each example has: (N, L) bool."""
    return np.array(_targets(examples, labels)) > 0


def numbers(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Return the number of each example: (N,) float64."""
    return np.array(_targets(examples, labels), np.float64)


def _targets(examples: Sequence[Example], labels: Labels) -> list[np.ndarray]:
    check_labels(examples, labels, "the evaluation data")
    made = []
    for example in only(examples, TextExample):
        target = target_of(example, labels)
        if target is None:
            raise unlabelled(example.place)
        made.append(target)
    return made


def tags(examples: Sequence[Example], labels: Labels) -> list[list[str]]:
    """Return the tags of each sentence as the model names them; a tag that it does not know stays as it is."""
    made = []
    for example in only(examples, TaggedExample):
        if example.tags is None:
            raise unlabelled(example.place)
        made.append([labels.names[labels.index[tag]] if tag in labels.index else tag for tag in example.tags])
    return made


def answers(examples: Sequence[Example]) -> list[list[str]]:
    """Return the texts that answer each question; none where the context has no answer."""
    made = []
    for example in only(examples, QuestionExample):
        if not example.labelled:
            raise unlabelled(example.place)
        made.append([answer.text for answer in example.answers])
    return made


def choices(examples: Sequence[Example]) -> np.ndarray:
    """Return the index of each right choice: (N,) int64."""
    made = []
    for example in only(examples, ChoiceExample):
        if example.label is None:
            raise unlabelled(example.place)
        made.append(example.label)
    return np.array(made, np.int64)


def unlabelled(place: str) -> DataError:
    """Return the error for an example that nothing is known about."""
    return DataError(f"{place} has no label; only labelled examples can be evaluated.")
