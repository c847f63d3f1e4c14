"""A hash of what files contain, such as those of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from .hub import resolve

PREFERRED = "model*.safetensors"  # where a model has such weights, those of other formats are not read


def hash_files(paths: Iterable[Path]) -> str:
    """Return one hash of the names and the bytes of some files."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:16]


def model_files(name: str) -> Iterator[Path]:
    """Yield the files of a model that is on this machine: those of its folder, in one format of weights.

    Raises:
        ModelNotFoundError: there is none.
    """
    folder = Path(name)
    if folder.is_file():
        yield folder
        return
    folder = resolve(name, kind="config", local_files_only=True)
    weights = {path.name for path in folder.glob(PREFERRED)}
    for path in sorted(folder.rglob("*")):
        is_other_format = path.suffix in (".bin", ".h5", ".msgpack") and weights and path.parent == folder
        if (
            path.is_file()
            and not is_other_format
            and not any(part.startswith(".") for part in path.parts[len(folder.parts) :])
        ):
            yield path
