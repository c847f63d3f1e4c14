"""Names of tasks: which class answers which, and which task a model was made for."""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError, suggest
from ..core.schema import Head
from .base import Task
from .feature_extraction import FeatureExtraction
from .fill_mask import FillMask
from .multiple_choice import MultipleChoice
from .question_answering import QuestionAnswering
from .sentence_similarity import SentenceSimilarity
from .text_classification import TextClassification
from .token_classification import TokenClassification
from .zero_shot_classification import ZeroShotClassification

TASKS: dict[str, type[Task[Any]]] = {
    task.task: task
    for task in (  # of the tasks for one head, the first is the one that a model stands for
        TextClassification,
        TokenClassification,
        QuestionAnswering,
        FillMask,
        FeatureExtraction,
        ZeroShotClassification,
        MultipleChoice,
        SentenceSimilarity,
    )
}
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


def find_task(name: str) -> type[Task[Any]]:
    """Return the class for the name of a task, or for an alias.

    Raises:
        InputError: there is no such task; the message names the nearest and all others.
    """
    known = [*TASKS, *ALIASES]
    task = TASKS.get(ALIASES.get(name, name))
    if task is None:
        raise InputError(f"There is no task {name!r}.{suggest(str(name), known)} Tasks are: {', '.join(known)}.")
    return task


def tasks_for(head: Head) -> list[str]:
    """Return the tasks that a model with ``head`` can do; those of the bare encoder last, which every model has."""
    own = [name for name, task in TASKS.items() if task.head == head.name]
    return own + [name for name, task in TASKS.items() if not task.head and name not in own]
