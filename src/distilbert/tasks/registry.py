"""All tasks: what each is, which class answers, and which tasks a model can do."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError, suggest
from ..core.schema import Head
from .base import Task
from .feature_extraction import FeatureExtractionPipeline
from .fill_mask import FillMaskPipeline
from .multiple_choice import MultipleChoicePipeline
from .question_answering import QuestionAnsweringPipeline
from .sentence_similarity import SentenceSimilarityPipeline
from .task_spec import TaskSpec
from .text_classification import TextClassificationPipeline
from .token_classification import TokenClassificationPipeline
from .zero_shot_classification import ZeroShotClassificationPipeline

_CLASSES: dict[str, type[Task[Any]]] = {
    task.spec.name: task
    for task in (
        # Before ZeroShotClassificationPipeline: the first task of a head is what its models are made for.
        TextClassificationPipeline,
        TokenClassificationPipeline,
        QuestionAnsweringPipeline,
        FillMaskPipeline,
        FeatureExtractionPipeline,
        ZeroShotClassificationPipeline,
        MultipleChoicePipeline,
        SentenceSimilarityPipeline,
    )
}
TASKS: dict[str, TaskSpec] = {name: task.spec for name, task in _CLASSES.items()}
ALIASES = {alias: spec.name for spec in TASKS.values() for alias in spec.aliases}


def task_spec(name: str) -> TaskSpec:
    """Return what is known of the task of that name or alias.

    Raises:
        InputError: there is no such task; the message names the nearest and lists all.
    """
    known = [*TASKS, *ALIASES]
    spec = TASKS.get(ALIASES.get(name, name))
    if spec is None:
        raise InputError(f"There is no task {name!r}.{suggest(str(name), known)} Tasks are: {', '.join(known)}.")
    return spec


def task_class(name: str) -> type[Task[Any]]:
    """Return the class that answers; name and errors as in :func:`task_spec`."""
    return _CLASSES[task_spec(name).name]


def tasks_for(head: Head) -> list[str]:
    """Return the tasks that a model with ``head`` can do: what it was made for, then the others."""
    own = [name for name, spec in TASKS.items() if spec.head == head.name]
    encoder = [name for name, spec in TASKS.items() if not spec.head]  # which every model has
    return list(dict.fromkeys(own + encoder + [name for name, spec in TASKS.items() if spec.accepts(head)]))
