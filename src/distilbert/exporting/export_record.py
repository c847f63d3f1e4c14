"""``export.json``: which weights the exports in a folder are of, their precisions, and how far they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.files import write_json
from ..core.json_files import read_config_file

EXPORT_RECORD = "export.json"


def hash_weights(architecture: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of a model: of its class, and of its tensors' names, types, shapes and numbers."""
    digest = hashlib.sha256(architecture.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def read_export_record(folder: Path) -> dict[str, Any] | None:
    """Return what ``export.json`` holds, ``{"model": hash, "files": {path: {"precision": ...}}}``; None without one.

    Raises:
        InputError: the file holds something else.
    """
    path = folder / EXPORT_RECORD
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


def write_export_record(folder: Path, model_hash: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``export.json``: the hash of the model, and for each export its precision and how far it differs."""
    write_json(folder / EXPORT_RECORD, json.loads(json.dumps({"model": model_hash, "files": files})))


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("precision"), str)
