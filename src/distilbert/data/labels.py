"""The labels of a data set or a model, and the label of an example as numbers. Legend: L labels, W words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..core.config import DistilBertConfig
from ..core.counted import counted
from ..core.errors import ConfigError, DataError, suggest
from ..tasks.registry import task_spec
from .examples import MULTI, REGRESSION, SINGLE, Example, Labels, TaggedExample, TextExample
from .messages import listed
from .row_values import whole_number

OUTSIDE = "O"  # the tag of words that are in no entity
_INTEGER = re.compile(r"[+-]?\d{1,300}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SEPARATORS = re.compile(r"[|;,]")
_LARGEST = 1e38  # of a number to regress on; targets are float32
_LISTED = 20  # labels that a message lists


def collect_labels(
    task: str,
    examples: Sequence[Example],
    *,
    problem: str = "",
    names: Sequence[str] = (),
    minimum: int = 1,
    known: Sequence[str] = (),
) -> Labels:
    """Return the labels that examples have, sorted: as numbers if all are integers, else as text.

    Numbers such as ``1.0`` are the integers that they stand for, if all are whole.

    Of tags, ``O`` comes first; the others are sorted by the kind of entity, with ``B-`` before ``I-``.

    Args:
        task: one of ``FINETUNE_TASKS``; some have no labels with names.
        examples: the training data.
        problem: ``SINGLE``, ``MULTI`` or ``REGRESSION``. If empty, it is guessed: lists of labels mean ``MULTI``,
            numbers that are not all whole ``REGRESSION``.
        names: how the model will show the labels: the labels of the data in another order, or new names for the
            sorted labels.
        minimum: how many rows, or words for tags, each label must have.
        known: labels of a ``MULTI`` problem that exist even if no row has them, in their order.

    Raises:
        DataError: there are no labels, or only one; a label does not fit the problem or has too few rows; there are
            more or fewer names than labels.
    """
    spec = task_spec(task)
    if not spec.has_label_names:
        if names or problem:
            raise DataError(f"{task} has no names of labels and no problem type.")
        return Labels()
    if spec.has_problem_types:
        problem = problem or _guess_problem(examples)
        if problem not in (SINGLE, MULTI, REGRESSION):
            raise DataError(f"The problem type is one of {SINGLE}, {MULTI}, {REGRESSION}; got {problem!r}.")
    if problem == REGRESSION:
        if len(names) > 1:
            raise DataError(f"A regression has one output, and {len(names)} names were given: {listed(names)}.")
        labels = Labels(tuple(names) or ("score",), REGRESSION)
        if not _counts(examples, labels):
            raise DataError("No row has a label.")
        return labels
    counts = _counts(examples, Labels(problem=problem))
    if not counts:
        raise DataError("No row has a label.")
    if all(map(_whole, counts)):
        counts = {whole: sum(counts[text] for text in counts if _whole(text) == whole) for whole in map(_whole, counts)}
    values = _sorted(counts, is_tags=isinstance(examples[0], TaggedExample))
    if problem == MULTI and set(values) <= set(known):
        values = list(known)
    if names and set(values) <= set(names):
        if not known and (empty := [name for name in names if name not in counts]):
            raise DataError(f"No row has the label {listed(empty)}, which was named. The rows have {_known(values)}.")
        labels = Labels(tuple(names), problem)
    elif names:
        if len(names) != len(values):
            given = counted(len(names), "name was", "names were")
            raise DataError(f"{given} given for {counted(len(values), 'label')}: {_known(values)}.")
        labels = Labels(tuple(names), problem, tuple(values))
    else:
        labels = Labels(tuple(values), problem)
    if len(set(labels.names)) != len(labels.names):
        raise DataError(f"Each label needs a name of its own, got {listed(labels.names)}.")
    if len(values) == 1:
        raise DataError(f"All rows have the same label, {values[0]!r:.80}: there is nothing to learn from them.")
    if few := [value for value in counts if counts[value] < minimum]:
        rows = counted(counts[few[0]], "row")
        raise DataError(f"The label {few[0]!r:.80} has {rows}, and at least {minimum} are needed.")
    return labels


def labels_of_config(config: DistilBertConfig, task: str) -> Labels:
    """Return the labels of a model. Files may also state their numbers, unless the names look like numbers."""
    spec = task_spec(task)
    if spec.has_numbers:
        return Labels(("score",), REGRESSION)
    if not spec.has_label_names:
        return Labels()
    names = tuple(config.id2label[number] for number in range(config.num_labels))
    problem = ""
    if spec.has_problem_types:
        problem = config.problem_type or (REGRESSION if len(names) == 1 else SINGLE)
    has_numbers = problem == REGRESSION or any(_INTEGER.fullmatch(name) for name in names)
    return Labels(names, problem, () if has_numbers else tuple(map(str, range(len(names)))))


def check_class_weights(class_weights: str, labels: Labels) -> None:
    """Check that labels can have weights as classes; ``"none"`` asks for none.

    Raises:
        ConfigError: they are the numbers of a regression.
    """
    if class_weights != "none" and labels.problem == REGRESSION:
        raise ConfigError("class_weights must be none: the labels are numbers, so that there are no classes.")


def check_labels(examples: Sequence[Example], labels: Labels, what: str) -> None:
    """Check that every label is one of ``labels``; an example without a label passes.

    Args:
        examples: of any task.
        labels: those that the model has.
        what: name of the examples, such as ``"the evaluation data"``.

    Raises:
        DataError: a label is unknown, or is not a number in a regression; the message names its place.
    """
    index = labels.index
    for example in examples:
        for value in _values(example, labels):
            if labels.problem != REGRESSION and value not in index:
                kind = "tag" if isinstance(example, TaggedExample) else "label"
                raise DataError(
                    f"{example.place}: {what} has the {kind} {value!r:.80}, which is not among the labels of the "
                    f"model: {_known(labels.names)}.{suggest(value, index)}"
                )


def class_counts(examples: Sequence[Example], labels: Labels) -> np.ndarray:
    """Count the rows or words of each label: (L,) int64; for a regression, the rows that have a number."""
    counts = np.zeros(len(labels.names), np.int64)
    for value, count in _counts(examples, labels).items():
        counts[0 if labels.problem == REGRESSION else labels.index[value]] += count
    return counts


def target_of(example: TextExample, labels: Labels) -> np.ndarray | None:
    """Return the label as an array: () int64, (L,) float32 for several, () float32 for a regression.

    Raises:
        DataError: it is a list where one label is expected, or not a number where one is expected.
    """
    if example.label is None:
        return None
    values = _values(example, labels)
    if labels.problem == REGRESSION:
        return np.array(float(values[0]), np.float32)
    if labels.problem == SINGLE:
        return np.array(labels.index[values[0]], np.int64)
    target = np.zeros(len(labels.names), np.float32)  # (L,)
    target[[labels.index[value] for value in values]] = 1
    return target


def tags_of(example: TaggedExample, labels: Labels) -> np.ndarray | None:
    """Return the label of each word: (W,) int64; None where the sentence is not labelled."""
    return None if example.tags is None else np.array([labels.index[tag] for tag in example.tags], np.int64)


def _values(example: Example, labels: Labels) -> tuple[str, ...]:
    """Return the labels of an example as text: none, one or several.

    Raises:
        DataError: they do not fit the problem.
    """
    if isinstance(example, TaggedExample):
        return example.tags or ()
    if not isinstance(example, TextExample) or example.label is None:
        return ()
    label, problem = example.label, labels.problem
    if isinstance(label, tuple):
        if problem == SINGLE and len(label) == 1:
            return label
        if problem != MULTI:
            raise DataError(f"{example.place} has a list of labels, {list(label)!r:.60}, where one is expected.")
        return label
    text = label if isinstance(label, str) else str(int(label)) if label.is_integer() else repr(label)
    if problem == MULTI:
        return tuple(part.strip() for part in _SEPARATORS.split(text) if part.strip())
    if problem == REGRESSION and (not _NUMBER.fullmatch(text.strip()) or abs(float(text)) > _LARGEST):
        raise DataError(f"{example.place} has the label {text!r:.80}, where a regression expects a number.")
    if (
        problem == SINGLE
        and labels.names
        and text not in labels.index
        and (whole := whole_number(text)) in labels.index
    ):
        return (whole,)
    return (text,)


def _whole(label: str) -> str:
    """Return a label that is a whole number without its decimal point; empty for any other."""
    return label if _INTEGER.fullmatch(label) else whole_number(label)


def _counts(examples: Iterable[Example], labels: Labels) -> dict[str, int]:
    counts: dict[str, int] = {}
    for example in examples:
        for value in _values(example, labels):
            counts[value] = counts.get(value, 0) + 1
    return counts


def _guess_problem(examples: Iterable[Example]) -> str:
    are_integers = are_numbers = True
    for label in _text_labels(examples):
        if isinstance(label, tuple):
            return MULTI
        are_integers = are_integers and bool(label.is_integer() if isinstance(label, float) else _whole(label))
        are_numbers = are_numbers and (isinstance(label, float) or _NUMBER.fullmatch(label) is not None)
    return REGRESSION if are_numbers and not are_integers else SINGLE


def _text_labels(examples: Iterable[Example]) -> Iterator[str | tuple[str, ...] | float]:
    for example in examples:
        if isinstance(example, TextExample) and example.label is not None:
            yield example.label


def _sorted(values: Iterable[str], is_tags: bool) -> list[str]:
    values = list(values)
    if all(_INTEGER.fullmatch(value) for value in values):
        return sorted(values, key=int)
    return sorted(values, key=_tag_order) if is_tags else sorted(values)


def _tag_order(tag: str) -> tuple[bool, str, str]:
    prefix, dash, kind = tag.partition("-")
    return (tag != OUTSIDE, kind, prefix) if dash and len(prefix) == 1 else (tag != OUTSIDE, tag, "")


def _known(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return listed(names[:_LISTED]) + more
