"""From texts to answers: one file per task, batches under a token budget, and ``pipeline``. Needs NumPy only.

Begin with ``loading.py`` (``pipeline``: from a name to a task), ``base.py`` (what all tasks share) and
``text_classification.py`` (one task); ``task_spec.py`` says what is known of a task without running it.
"""

from .base import Task
from .loading import pipeline
from .registry import ALIASES, TASKS, task_class, task_spec
from .task_spec import TaskSpec

__all__ = ["ALIASES", "TASKS", "Task", "TaskSpec", "pipeline", "task_class", "task_spec"]
