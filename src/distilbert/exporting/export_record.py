"""``export.json``: which weights the exports in a folder are of, their precisions, and how far they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.content_hash import hash_files
from ..core.errors import InputError
from ..core.files import write_json
from ..core.json_files import read_config_file
from ..weights.folder import weight_files

EXPORT_RECORD = "export.json"


def hash_weights(architecture: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Return a hash of a model: of its class, and of its tensors' names, types, shapes and numbers."""
    digest = hashlib.sha256(architecture.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def read_export_record(folder: Path) -> dict[str, Any] | None:
    """Return what ``export.json`` holds; None without one.

    It is ``{"model": hash, "files": {path: {"precision": ...}}}``, and ``"weights": hash of their files`` where the
    exports are in the folder of the model.

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
        or not isinstance(values.get("weights", ""), str)
        or not isinstance(files, dict)
        or not all(map(_is_entry, files.values()))
    ):
        raise InputError(f"{path} was not written by 'distilbert export': remove it, or name another folder.")
    return values


def write_export_record(
    folder: Path, model_hash: str, weights_hash: str | None, files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write ``export.json``.

    Args:
        folder: to write it into.
        model_hash: see :func:`hash_weights`.
        weights_hash: see :func:`hash_weight_files`; None for exports that are not in the folder of the model.
        files: path of each export -> its precision and how far it differs.
    """
    weights = {} if weights_hash is None else {"weights": weights_hash}
    write_json(folder / EXPORT_RECORD, json.loads(json.dumps({"model": model_hash, **weights, "files": files})))


def hash_weight_files(folder: Path) -> str:
    """Return a hash of the files that hold the weights of a model; empty if there are none."""
    files = weight_files(folder)
    return hash_files(files) if files else ""


def check_weights_are_exported(folder: Path, record: Mapping[str, Any]) -> None:
    """Check that a model's folder still holds the weights whose exports are beside them.

    Raises:
        InputError: it holds other ones.
    """
    there = hash_weight_files(folder) if "weights" in record else ""
    if there and there != record["weights"]:
        raise InputError(
            f"{folder} holds other weights than those that its exports were made of. Export them again: "
            f"distilbert export {folder} --output {folder} --overwrite"
        )


def _is_entry(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("precision"), str)
