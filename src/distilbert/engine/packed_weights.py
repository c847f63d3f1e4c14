"""Laid-out weights of a model folder in a file: where it lies, what it belongs to, and when it may be trusted.

``distilbert pack`` writes it into the model's folder. Without that, the first use writes it into the cache (see
:mod:`.cache_folder`); a user's folder is never written to unasked. A file is used if it was written by this version,
for these kernels, this configuration, head and precision, and from these very files of weights. Else it is passed over.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..core.errors import DistilBertError
from ..core.hub import PACKED
from ..core.schema import tensor_shapes
from ..weights.folder import QUANTIZATION
from .cache_folder import make_space, mark_used, packed_path, say_unwritable
from .laid_out_weights import MappedStore, MemoryStore, WeightStore, WritingStore
from .model_weights import FolderWeights
from .operations import Operations
from .packed_file import PackedFileWriter

logger = logging.getLogger("distilbert")

FORMAT = 1  # increase when the encoder asks for other weights, or for the same ones laid out otherwise
SMALLEST = 4 << 20  # bytes of weights; smaller ones are laid out faster than a file is found
SAMPLE = 1 << 16  # bytes at the beginning and the end of a file of weights that are compared at each start

Built = TypeVar("Built")


@dataclass(frozen=True)
class PackedWeights:
    """The packed file of a model for one precision and one set of kernels.

    Attributes:
        content: what the file must say of itself: versions, kernels, configuration, head, precision, quantization.
        sources: the files of weights.
        most_bytes: that the laid-out weights can have.
        name: of the file in the model's folder.
        folder: of the model.
        operations: what computes with the weights.
    """

    content: dict[str, Any]
    sources: list[Path]
    most_bytes: int
    name: str
    folder: Path
    operations: Operations

    def load(self, build: Callable[[WeightStore], Built], check: Callable[[Built], None]) -> Built | None:
        """Return what ``build`` builds from a packed file that may be trusted; None if there is none.

        Args:
            build: reads everything from the store.
            check: raises an InputError if what was built does not fit together.
        """
        for path in (self.path_in_folder, self.path_in_cache):
            if path is None or not path.is_file():
                continue
            try:
                store = MappedStore(path, self.operations)
                if not self._is_current(store.content):
                    continue
                built = build(store)
                check(built)
            except (DistilBertError, OSError, ValueError) as error:
                _say_ignored(path, str(error))
                continue
            if path == self.path_in_cache:
                mark_used(path)
            return built
        return None

    def write(self, path: Path, build: Callable[[WeightStore], Built]) -> tuple[Built, int]:
        """Write the file, and return what was built, which lies in it, and its size.

        Raises:
            OSError: it cannot be written.
        """
        sources = [describe(file, whole=True) for file in self.sources]
        with PackedFileWriter(path, self.most_bytes) as writer:
            store = WritingStore(writer)
            built = build(store)
            if [describe(file) for file in self.sources] != [source | {"sha256": None} for source in sources]:
                raise OSError("the weights changed while they were read")
            return built, store.finish({**self.content, "sources": sources})

    def keep(self, build: Callable[[WeightStore], Built]) -> Built:
        """Write the file into the cache, and return what was built; where that is not possible, build it in memory."""
        path = self.path_in_cache
        if path is not None and sum(file.stat().st_size for file in self.sources) >= SMALLEST:
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if make_space(path, sum(file.stat().st_size for file in self.sources)):
                    built, size = self.write(path, build)
                    make_space(path, size)
                    return built
            except OSError as error:
                say_unwritable(error)
        return build(MemoryStore())

    @property
    def path_in_folder(self) -> Path:
        """Where ``distilbert pack`` writes it."""
        return self.folder / PACKED / self.name

    @property
    def path_in_cache(self) -> Path | None:
        """Where the first use writes it; None where nothing is kept."""
        place = hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:24]
        return packed_path(f"{place}-{self.name}")

    def _is_current(self, content: dict[str, Any]) -> bool:
        """Say whether a file was made by this version, for this machine and model, from the weights that are there."""
        if {name: content.get(name) for name in self.content} != self.content:
            return False
        sources = content.get("sources")
        if not isinstance(sources, list) or len(sources) != len(self.sources):
            return False
        for source, path in zip(sources, self.sources, strict=True):
            if not isinstance(source, dict):
                return False
            # Times and samples are a cheap check. A copy of a folder has other times, so its files are read whole.
            now = describe(path)
            if source | {"sha256": None} != now and source.get("sha256") != describe(path, whole=True)["sha256"]:
                return False
        return True


def describe(path: Path, whole: bool = False) -> dict[str, Any]:
    """Return what tells one file of weights from another; ``whole`` reads all of it, which takes a second for 1 GB."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        sample = hashlib.sha256(file.read(SAMPLE))
        file.seek(max(0, status.st_size - SAMPLE))
        sample.update(file.read(SAMPLE))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest() if whole else None
    return {
        "name": path.name,
        "size": status.st_size,
        "modified": status.st_mtime_ns,
        "sample": sample.hexdigest(),
        "sha256": digest,
    }


def packed_weights_of(
    weights: FolderWeights, precision: str, float_type: str, operations: Operations
) -> PackedWeights | None:
    """Return the packed file that belongs to a folder's weights; None if they come from elsewhere.

    Args:
        weights: of the folder.
        precision: that runs.
        float_type: of what is not in int8.
        operations: what computes.
    """
    folder, sources = weights.folder, weights.files
    if folder is None or not sources:
        return None
    elements = sum(prod(shape) for shape in tensor_shapes(weights.config, weights.head).values())
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "kernels": operations.layout,
        "head": weights.head.name,
        "config": weights.config.to_json_string(),
        "precision": precision,
        "float_type": float_type,
        "quantization": None,
    }
    try:
        if precision == "int8":
            content["quantization"] = hashlib.sha256((folder / QUANTIZATION).read_bytes()).hexdigest()
    except OSError:
        return None
    head = weights.head.name.removeprefix("For") or "Encoder"
    name = f"{head}-{precision}-{float_type}-{operations.layout}.packed"
    return PackedWeights(content, sources, 3 * 4 * elements + (64 << 20), name, folder, operations)


def build_packed(
    packed: PackedWeights | None, build: Callable[[WeightStore], Built], check: Callable[[Built], None]
) -> Built:
    """Return what ``build`` builds: from a packed file, or into one in the cache, or in memory."""
    if packed is None:
        return build(MemoryStore())
    with suppress(OSError):  # of files of weights that cannot be read; building says what is wrong
        built = packed.load(build, check)
        if built is not None:
            return built
    return packed.keep(build)


@functools.cache
def _say_ignored(path: Path, reason: str) -> None:
    logger.warning("%s is not used, and the weights are laid out anew: %s", path, reason)
