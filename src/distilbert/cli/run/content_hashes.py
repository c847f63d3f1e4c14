"""Hashes of what the results of a run depend on, so that ``--resume`` does not mix two inputs or two models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...core.errors import ModelNotFoundError
from ...core.hub import resolve
from .plan import RunPlan

PREFERRED = "model*.safetensors"  # where a model has such weights, those of other formats are not read


class ContentHashes:
    """Hashes the input, and the model where it is on this machine already, while the model loads.

    Args:
        plan: names the input and the model.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._models = [str(name) for name in map(plan.loading.get, ("model", "config", "tokenizer")) if name]
        executor = ThreadPoolExecutor(2, thread_name_prefix="hash")
        self._input = executor.submit(hash_files, [Path(plan.input)] if plan.input is not None else [])
        self._model = executor.submit(self._hash_models)
        executor.shutdown(wait=False)

    def result(self) -> dict[str, str]:
        """Return both hashes. The model must have been loaded."""
        return {
            "content of the input": self._input.result(),
            "content of the model": self._model.result() or self._hash_models(),  # it may have been downloaded since
        }

    def _hash_models(self) -> str:
        try:
            return hash_files(path for name in self._models for path in _model_files(name))
        except ModelNotFoundError:
            return ""


def hash_files(paths: Iterable[Path]) -> str:
    """Return one hash of the names and the bytes of some files."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:16]


def _model_files(name: str) -> Iterator[Path]:
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
