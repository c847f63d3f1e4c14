"""Texts to answers: one file a task, batching under a token budget, and ``pipeline``. NumPy and nothing heavier."""

from .base import Task
from .pipeline import pipeline
from .registry import ALIASES, TASKS

__all__ = ["ALIASES", "TASKS", "Task", "pipeline"]
