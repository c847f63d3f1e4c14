"""The folder in which the engine keeps what it can make again: laid-out weights, and notes of what it measured.

It is ``DISTILBERT_CACHE``, else ``distilbert`` in the user's folder for caches. ``DISTILBERT_CACHE=off`` keeps nothing.
Nothing here is needed: where the folder cannot be read or written, everything is computed again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.files import write_json

logger = logging.getLogger("distilbert")

VARIABLE, OFF = "DISTILBERT_CACHE", ("off", "0", "")
MOST_BYTES = 2 << 30  # of laid-out weights; those that were used longest ago are removed
MOST_NOTES = 256
NOTES_ARE_KEPT = 30 * 24 * 3600  # seconds; then the machine is measured again
ABANDONED = 3600  # seconds after which a temporary file belongs to a process that was killed


def cache_folder() -> Path | None:
    """Return the folder; None where nothing is to be kept."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return None if chosen.strip().lower() in OFF else Path(chosen).expanduser()
    if sys.platform == "win32":
        return None
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return None
    return base / "distilbert"


def packed_path(name: str) -> Path | None:
    """Return where laid-out weights of a name are kept; None where nothing is to be kept."""
    folder = cache_folder()
    return None if folder is None else folder / "packed" / name


def make_space(path: Path, size: int) -> bool:
    """Remove packed files that were used longest ago, so that one of ``size`` bytes may be kept at ``path``.

    Returns:
        Whether it may: it is not larger than all that is kept.
    """
    if size > MOST_BYTES:
        return False
    remove_abandoned(path.parent)
    others = [(file.stat(), file) for file in path.parent.glob("*.packed") if file != path]
    total = sum(status.st_size for status, _ in others)
    for status, file in sorted(others, key=lambda pair: pair[0].st_mtime_ns):
        if total + size <= MOST_BYTES:
            break
        file.unlink(missing_ok=True)
        total -= status.st_size
    return True


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote."""
    for file in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > ABANDONED:
                file.unlink()


def mark_used(path: Path) -> None:
    """Note that a packed file was used now."""
    with suppress(OSError):
        os.utime(path)


def read_note(key: Any) -> Any:
    """Return what was noted under ``key`` (plain data) in the last 30 days; None if nothing was."""
    path = _note_path(key)
    try:
        if path is None or time.time() - path.stat().st_mtime > NOTES_ARE_KEPT:
            return None
        note = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return note.get("value") if isinstance(note, dict) and note.get("key") == key else None


def write_note(key: Any, value: Any) -> None:
    """Note a value (plain data) under ``key`` (plain data), atomically; nothing happens where that is not possible."""
    path = _note_path(key)
    if path is None:
        return
    try:
        write_json(path, {"key": key, "value": value})
        notes = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
        for old in notes[:-MOST_NOTES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        say_unwritable(error)


@functools.cache
def _say_unwritable(folder: Path | None, reason: str) -> None:
    logger.warning(
        "Nothing can be kept in %s (%s), so weights are laid out anew at each start. Set DISTILBERT_CACHE to a folder "
        "that can be written, or to off.",
        folder,
        reason,
    )


def say_unwritable(error: OSError) -> None:
    """Warn, once in a process for each folder and reason, that the cache cannot be written."""
    _say_unwritable(cache_folder(), error.strerror or type(error).__name__)


def _note_path(key: Any) -> Path | None:
    folder = cache_folder()
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return None if folder is None else folder / "notes" / f"{name}.json"
