"""``export.json``: which weights the exports in a folder are of, in which precision, and how near they came."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.files import read_config_file, write_json

RECORD = "export.json"


def fingerprint(architecture: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of a model: of its class, and of its tensors' names, shapes and numbers."""
    digest = hashlib.sha256(architecture.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what ``export.json`` holds, ``{"model": hash, "files": {path: {"precision": ...}}}``; None without one.

    Raises:
        InputError: it is not such a file.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    values = read_config_file(path)
    files = values.get("files")
    if (
        not isinstance(values.get("model"), str)
        or not isinstance(files, dict)
        or not all(map(_is_entry, files.values()))
    ):
        raise InputError(f"{path} was not written by 'distilbert export': remove it, or name another folder.")
    return values


def write_record(folder: Path, model: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``export.json``: the hash of the model, and of each export its precision and what its check found."""
    write_json(folder / RECORD, json.loads(json.dumps({"model": model, "files": files})))


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("precision"), str)
