"""What ``summary.json`` says of every run: when, how and on which machine it was made, and on what data."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.cpu_name import cpu_name

if TYPE_CHECKING:  # evaluation describes its machine without PyTorch, which the loop imports
    from .loop import TrainingState

PACKAGES = ("distilbert", "torch", "accelerate", "tokenizers", "numpy")


def about_run(folder: Path, data: dict[str, Any], state: TrainingState) -> dict[str, Any]:
    """Return the entries of ``summary.json`` that do not depend on the kind of training.

    Args:
        folder: of the run.
        data: what there is to know about the data.
        state: at the end of the run.
    """
    return {
        "title": folder.resolve().name,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["distilbert", *sys.argv[1:]]) if _is_our_command(sys.argv[0]) else "",
        "machine": machine(),
        "data": data,
        "precision": state.precision,
        "steps": state.step,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 1),
        "best_step": state.best_step,
    }


def machine() -> dict[str, Any]:
    """Return the name of the CPU, the number of its cores and the versions of the software that is installed."""
    versions = {}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # evaluation needs no PyTorch
            versions[package] = importlib.metadata.version(package)
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "versions": {"python": platform.python_version()} | versions}


def _is_our_command(program: str) -> bool:
    return Path(program).name in ("distilbert", "__main__.py")
