"""Labelled examples: what the rows of any format become, and what a label is for each task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

FINETUNE_TASKS = (
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "fill-mask",
)
EVALUATED_TASKS = (*FINETUNE_TASKS, "sentence-similarity")  # those that have labelled data
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@dataclass(frozen=True)
class TextExample:
    """A text or a pair of texts. For fill-mask it is a text without a label.

    Attributes:
        place: where it stands, for messages: ``train.tsv:12``.
        text: first text.
        text_pair: second text.
        label: name of its label, names of all its labels (multi-label), a number (regression), or None if it is not
            known.
    """

    place: str
    text: str
    text_pair: str | None = None
    label: str | tuple[str, ...] | float | None = None


@dataclass(frozen=True)
class TaggedExample:
    """A sentence: its words, and the tag of each, or None if they are not known."""

    place: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """An answer, and the index of its first character in the context."""

    text: str
    start: int


@dataclass(frozen=True)
class QuestionExample:
    """A question about a context.

    Attributes:
        place: where it stands, for messages.
        key: its id where it has one, else its number.
        question: the question.
        context: the text that the answer stands in.
        answers: all that count as right; training uses the first. Empty: the context does not answer the question
            (SQuAD 2.0).
        labelled: False if nothing is known about the answer.
    """

    place: str
    key: str
    question: str
    context: str
    answers: tuple[Answer, ...] = ()
    labelled: bool = True


@dataclass(frozen=True)
class ChoiceExample:
    """A context or a question with choices; ``label`` is the index of the right choice, None if it is not known."""

    place: str
    context: str
    question: str
    choices: tuple[str, ...]
    label: int | None = None


Example = TextExample | TaggedExample | QuestionExample | ChoiceExample


@dataclass(frozen=True)
class Labels:
    """The labels of a model.

    Attributes:
        names: as the model shows them, in the order of its outputs. A regression has one; none for
            question-answering, multiple-choice and fill-mask.
        problem: ``SINGLE``, ``MULTI`` or ``REGRESSION`` for text-classification, ``REGRESSION`` for
            sentence-similarity, else empty.
        values: as files write them, where that differs from the names: ``("0", "1")`` for ``("negative", "positive")``.
    """

    names: tuple[str, ...] = ()
    problem: str = ""
    values: tuple[str, ...] = ()

    @cached_property
    def index(self) -> dict[str, int]:
        """Output of each label, by its value in files and by its name."""
        return {key: number for keys in (self.names, self.values) for number, key in enumerate(keys)}

    def ordered(self, names: tuple[str, ...]) -> Labels:
        """Return the same labels in another order of their names."""
        values = [self.values[self.names.index(name)] for name in names] if self.values else []
        return Labels(names, self.problem, tuple(values))
