"""Checkpoints: complete, atomic, few. A folder ``step-N`` appears under its name when everything in it is on the disk.

``model/`` is a model folder like any other, ``training.safetensors`` holds the optimizer and what else trains, and
``state.json`` the step, the place in the data and the figures so far. Random numbers are functions of seed and step,
so there is no random state to keep.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..core.errors import CheckpointError, WeightsError
from ..core.files import write_json

NAME, LEFT = re.compile(r"step-(\d+)"), re.compile(r"\.step-\d+\..+")  # complete, and what a crash leaves
MODEL, TENSORS, STATE = "model", "training.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint.

    Attributes:
        folder: where it is.
        step: steps done.
        state: content of ``state.json``.
    """

    folder: Path
    step: int
    state: dict[str, Any]

    def tensors(self) -> dict[str, Tensor]:
        """Read optimizer and whatever else was saved, by name.

        Raises:
            WeightsError: the file is truncated or corrupt.
        """
        path = self.folder / TENSORS
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} cannot be read: {error}. Remove {self.folder} to go on before it.") from None


def save(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    save_model: Callable[[Path], None],
) -> Checkpoint:
    """Write a checkpoint.

    Args:
        folder: holds all checkpoints of a run.
        step: steps done.
        state: ready for JSON.
        tensors: by name, on the CPU.
        save_model: writes a model folder.

    Raises:
        CheckpointError: it could not be written whole; nothing is left of it.
    """
    target, making = folder / f"step-{step}", folder / f".step-{step}.tmp"
    shutil.rmtree(making, ignore_errors=True)
    try:
        making.mkdir(parents=True)
        save_model(making / MODEL)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, making / TENSORS)
        write_json(making / STATE, {"step": step, **state})
        for path in [*making.rglob("*"), making]:
            _to_disk(path)
        _remove(target)
        making.rename(target)
        _to_disk(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(making, ignore_errors=True)  # first of all: it may be what fills the disk
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        before = newest(folder)
        raise CheckpointError(
            f"The checkpoint of step {step} could not be written to {folder}: "
            f"{'the disk is full' if full else error}. "
            + (f"Make room and resume: the run goes on from step {before.step}." if before else "None is before it.")
        ) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Checkpoint(target, step, dict(state))


def load_all(folder: Path) -> list[Checkpoint]:
    """Return the complete checkpoints, oldest first; what a crash left half written is passed over.

    Raises:
        WeightsError: the ``state.json`` of one is damaged.
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match and (path / STATE).is_file():
            found.append(Checkpoint(path, int(match[1]), _read_state(path)))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def newest(folder: Path) -> Checkpoint | None:
    """Return the checkpoint to go on from, if there is one."""
    found = load_all(folder)
    return found[-1] if found else None


def tidy(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the newest ``keep`` checkpoints and the one of step ``best``."""
    for checkpoint in load_all(folder)[:-keep]:
        if checkpoint.step != best:
            _remove(checkpoint.folder)


def clear(folder: Path) -> None:
    """Remove all checkpoints, whole or not, before a run starts anew."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if NAME.fullmatch(path.name) or LEFT.fullmatch(path.name):
            _remove(path)


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read: {error}. Remove {folder} to go on before it.") from None
    return dict(state)


def _remove(folder: Path) -> None:
    """Remove a checkpoint. It loses its name first, so that a crash leaves no half of it that looks whole."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name.lstrip('.')}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _to_disk(path: Path) -> None:
    """Ask the system to write a file or a folder's entries now; a rename must not overtake them."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
