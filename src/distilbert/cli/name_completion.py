"""What a shell completes: names of tasks and of installed models. Nothing heavy is imported for it."""

from __future__ import annotations

from pathlib import Path


def complete_task(incomplete: str) -> list[str]:
    """Return the tasks and their other names that begin like this."""
    from ..tasks.registry import ALIASES, TASKS

    return [name for name in (*TASKS, *ALIASES) if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Return the installed models and the folders of models that begin like this."""
    from ..core.installed import installed_models

    names = [name for name in installed_models() if name.startswith(incomplete)]
    parent = Path(incomplete).expanduser() if incomplete.endswith("/") else Path(incomplete).expanduser().parent
    prefix = "" if incomplete.endswith("/") else Path(incomplete).name
    stated = incomplete[: len(incomplete) - len(prefix)]
    try:
        folders = sorted(entry.name for entry in parent.iterdir() if entry.is_dir() and entry.name.startswith(prefix))
    except OSError:
        folders = []
    return names + [f"{stated}{folder}" for folder in folders]
