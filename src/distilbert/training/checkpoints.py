"""Checkpoints of a run: folders ``step-N`` that get their name only when everything in them is on the disk.

``model/`` is an ordinary model folder. ``training.safetensors`` holds the state of the optimizer and the trained
weights that are not part of the model. ``state.json`` holds the step, the position in the data, the metrics so far, and
a hash of every file and of itself, so that a damaged checkpoint is an error and not another model.
Random numbers are functions of the seed and the step, so there is no random state to save.
"""

from __future__ import annotations

import errno
import hashlib
import json
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
from ..core.files import sync_to_disk, write_json
from ..core.json_files import parse_json

NAME = re.compile(r"step-(\d+)")
UNFINISHED = re.compile(r"\.step-\d+\..+")  # what a crash leaves behind
MODEL, TENSORS, STATE = "model", "training.safetensors", "state.json"
FILES, CHECKSUM = "files", "checksum"  # keys of state.json


@dataclass(frozen=True)
class TrainingCheckpoint:
    """A complete checkpoint.

    Attributes:
        folder: its folder.
        step: steps done.
        state: content of ``state.json``, without the hashes.
        hashes: of each other file, by its path in the folder.
    """

    folder: Path
    step: int
    state: dict[str, Any]
    hashes: dict[str, str]

    def check_files(self) -> None:
        """Compare every file with its hash.

        Raises:
            WeightsError: a file is missing, or has changed since it was written.
        """
        for name, expected in self.hashes.items():
            path = self.folder / name
            if not path.is_file():
                raise WeightsError(f"{path} is missing. {_way_out(self.folder)}")
            if _file_hash(path) != expected:
                raise WeightsError(f"{path} is not as it was written: it is damaged. {_way_out(self.folder)}")

    def tensors(self) -> dict[str, Tensor]:
        """Read the state of the optimizer and the weights outside the model, by name.

        Raises:
            WeightsError: the file is truncated or corrupt.
        """
        path = self.folder / TENSORS
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} cannot be read: {error}. {_way_out(self.folder)}") from None


def save(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    save_model: Callable[[Path], None],
) -> TrainingCheckpoint:
    """Write a checkpoint.

    Args:
        folder: of all checkpoints of the run.
        step: steps done.
        state: JSON values.
        tensors: by name, on the CPU.
        save_model: writes a model folder.

    Raises:
        CheckpointError: it could not be written completely; nothing is left of it.
    """
    target, temporary = folder / f"step-{step}", folder / f".step-{step}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        save_model(temporary / MODEL)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary / TENSORS)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        hashes = {path.relative_to(temporary).as_posix(): _file_hash(path) for path in files}
        content = {"step": step, **state, FILES: hashes}
        write_json(temporary / STATE, content | {CHECKSUM: _checksum(content)})
        for path in [*temporary.rglob("*"), temporary]:
            sync_to_disk(path)
        _remove(target)
        temporary.rename(target)
        sync_to_disk(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)  # it may be what fills the disk
        disk_is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        before = newest(folder)
        raise CheckpointError(
            f"The checkpoint of step {step} could not be written to {folder}: "
            f"{'the disk is full' if disk_is_full else error}. "
            + (f"Make room and resume: the run goes on from step {before.step}." if before else "None is before it.")
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TrainingCheckpoint(target, step, {"step": step, **state}, hashes)


def load_all(folder: Path) -> list[TrainingCheckpoint]:
    """Return the complete checkpoints, oldest first; those that a crash left half written are ignored.

    Raises:
        WeightsError: a ``state.json`` is damaged.
    """
    complete = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match and (path / STATE).is_file():
            complete.append(_read(path, int(match[1])))
    return sorted(complete, key=lambda checkpoint: checkpoint.step)


def newest(folder: Path) -> TrainingCheckpoint | None:
    """Return the newest complete checkpoint, or None."""
    complete = load_all(folder)
    return complete[-1] if complete else None


def tidy(folder: Path, keep: int, best: int | None) -> None:
    """Remove all but the newest ``keep`` checkpoints and the one of step ``best``, and what a crash left half done."""
    for path in folder.iterdir():
        if UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
    for checkpoint in load_all(folder)[:-keep]:
        if checkpoint.step != best:
            _remove(checkpoint.folder)


def clear(folder: Path) -> None:
    """Remove all checkpoints, complete or not, before a run starts over."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if NAME.fullmatch(path.name) or UNFINISHED.fullmatch(path.name):
            _remove(path)


def _read(folder: Path, step: int) -> TrainingCheckpoint:
    path = folder / STATE
    try:
        state = parse_json(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}. {_way_out(folder)}") from None
    if not isinstance(state, dict) or state.get("step") != step:
        raise WeightsError(f"{path} is not as it was written: it is damaged. {_way_out(folder)}")
    if CHECKSUM in state and state.pop(CHECKSUM) != _checksum(state):
        raise WeightsError(f"{path} is not as it was written: it is damaged. {_way_out(folder)}")
    return TrainingCheckpoint(folder, step, state, state.pop(FILES, {}))  # earlier versions wrote no hashes


def _way_out(folder: Path) -> str:
    return f"Remove {folder} to go on before it."


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _remove(folder: Path) -> None:
    """Remove a checkpoint. It is renamed first, so that a crash in between leaves nothing that looks complete."""
    if folder.exists():
        doomed = folder.with_name(f".{folder.name.lstrip('.')}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
