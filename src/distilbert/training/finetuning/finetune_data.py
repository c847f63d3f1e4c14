"""The data of a fine-tuning run: the examples that its settings name, and the labels found in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.counted import counted
from ...core.errors import DataError
from ...core.schema import head_of
from ...data.examples import Example, Labels, QuestionExample, TaggedExample
from ...data.labelled import ExampleSet, read_examples
from ...data.labels import check_class_weights, check_labels, collect_labels, labels_of_config
from ...data.tag_conversion import in_scheme_of
from ...tasks.registry import task_spec
from ...weights.checkpoint import open_checkpoint
from .finetune_config import FinetuneConfig


@dataclass(frozen=True)
class FinetuneData:
    """The examples of a run.

    Attributes:
        training: labelled examples to train on.
        unlabelled: examples that get only the teacher's scores.
        evaluation: labelled examples to evaluate on; may be empty.
        labels: of the training data.
        facts: what a report says about the data.
    """

    training: list[Example]
    unlabelled: list[Example]
    evaluation: list[Example]
    labels: Labels
    facts: dict[str, Any]


def read_data(config: FinetuneConfig, on_data: Callable[[str], None]) -> FinetuneData:
    """Read the data that the settings name.

    Args:
        config: sources, columns and labels.
        on_data: called with a line about each source.

    Raises:
        DataError: a source cannot be read, a label occurs only in the evaluation data, or there are too few examples.
        ConfigError: ``class_weights`` are set for a regression.
    """
    is_labelled = not trains_on_text_alone(config.task)

    def read(sources: Sequence[str], split: str, labelled: bool) -> ExampleSet:
        return read_examples(
            config.task,
            sources,
            columns=config.columns,
            delimiter=config.delimiter,
            encoding=config.encoding,
            split=split,
            labelled=labelled,
        )

    training = read(config.train_data, config.split, is_labelled)
    tagger = _labels_of_tagger(config)
    if tagger is not None:
        training.examples[:] = in_scheme_of(tagger, training.examples, "the training data")
    if len(training.examples) < 2:
        raise DataError(f"{', '.join(config.train_data)}: one example is not enough to train on.")
    labels = collect_labels(
        config.task, training.examples, problem=config.problem, names=config.label_names, known=training.label_names
    )
    columns = ", ".join(f"{role} = {column}" for role, column in training.columns.items())
    on_data(f"{counted(len(training.examples), 'example')} to train on{f' ({columns})' if columns else ''}")
    check_class_weights(config.class_weights, labels)
    if labels.names:
        names = ", ".join(labels.names[:12]) + (", ..." if len(labels.names) > 12 else "")
        on_data(f"{labels.problem.replace('_', ' ') or config.task}, {len(labels.names)} labels: {names}")
    evaluation: list[Example] = []
    if config.eval_data:
        evaluation = read(config.eval_data, config.eval_split, is_labelled).examples
        evaluation = in_scheme_of(labels, evaluation, "the evaluation data")
        check_labels(evaluation, labels, "the evaluation data")
        on_data(f"{counted(len(evaluation), 'example')} to evaluate on")
    unlabelled: list[Example] = []
    if config.unlabelled_data:
        examples = read(config.unlabelled_data, config.split, False).examples
        unlabelled = [_without_label(example) for example in examples]
    if unlabelled:
        on_data(f"{counted(len(unlabelled), 'example')} that the teacher labels")
    facts = {
        "sources": config.train_data,
        "columns": training.columns,
        "examples": len(training.examples),
        "unlabelled_examples": len(unlabelled),
        "evaluation_sources": config.eval_data,
        "evaluation_examples": len(evaluation),
        "labels": list(labels.names),
        "problem": labels.problem,
    }
    return FinetuneData(training.examples, unlabelled, evaluation, labels, facts)


def _labels_of_tagger(config: FinetuneConfig) -> Labels | None:
    """Return the labels of the model to train if it keeps its head for tags, else those of a teacher, else None."""
    if config.task != "token-classification":
        return None
    for name in filter(None, ("" if config.fresh_head else config.model, config.teacher)):
        source = open_checkpoint(name).config
        head = head_of(source.architectures)
        if head is not None and head.name == "ForTokenClassification":
            return labels_of_config(source, config.task)
    return None


def trains_on_text_alone(task: str) -> bool:
    """Say whether the data of a task have no labels, because the texts themselves are what is learned."""
    labelled = task_spec(task).labelled
    return labelled is not None and not labelled.target


def _without_label(example: Example) -> Example:
    """Return an example without its label, which may be unknown to the model."""
    if isinstance(example, TaggedExample):
        return replace(example, tags=None)
    if isinstance(example, QuestionExample):
        return replace(example, answers=(), labelled=False)
    return replace(example, label=None)
