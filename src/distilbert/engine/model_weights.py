"""What the engine reads of a model, wherever its weights are: in a folder, or in a model of one of the frameworks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.schema import PREFIX, Head, tied
from ..weights.checkpoint import Checkpoint
from ..weights.match import Matched
from ..weights.tensors import Tensors

# What computes a head's outputs from hidden states (R, D) in fp32.
HeadFunction = Callable[[np.ndarray], np.ndarray]


class ModelWeights(Protocol):
    """The weights of a model, read one array at a time."""

    @property
    def model(self) -> Any:
        """The model in its framework; for a folder each reading loads it."""

    @property
    def config(self) -> DistilBertConfig:
        """Its configuration."""

    @property
    def head(self) -> Head:
        """Its head."""

    @property
    def head_function(self) -> HeadFunction | None:
        """What computes its head, if that is not the usual one."""

    def read(self, name: str) -> np.ndarray:
        """Return an array in any floating type, by its name in a checkpoint without ``distilbert.``.

        Raises:
            InputError: the model has something else there, which the engine cannot compute.
        """

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield every array, with its whole name in a checkpoint."""

    def snapshot(self) -> Snapshot:
        """Return what tells later whether the weights are still those of now."""


class Snapshot(Protocol):
    """The weights of a model at one moment."""

    def is_current(self, ids: np.ndarray) -> bool:
        """Say whether the model still has them; ``ids`` (T,) are the words that are needed."""


class Unchanging:
    """The snapshot of weights that nothing can change, such as those of a file."""

    def is_current(self, ids: np.ndarray) -> bool:
        """See :class:`Snapshot`."""
        return True


class FolderWeights:
    """The weights in a model's folder.

    Args:
        checkpoint: the folder.
        head: of the model.
        load: loads the model in a framework; None where that is not possible. It can be pickled.
    """

    def __init__(self, checkpoint: Checkpoint, head: Head, load: Callable[[], Any] | None = None) -> None:
        self.config, self.head, self._checkpoint, self._load = checkpoint.config, head, checkpoint, load
        self.head_function: HeadFunction | None = None
        self._matched: Matched | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what says where the weights are, and not the open file."""
        return type(self), (self._checkpoint, self.head, self._load)

    @property
    def model(self) -> Any:
        """See :class:`ModelWeights`."""
        if self._load is None:
            raise InputError("This runner read its folder itself. Load a model with from_pretrained().")
        return self._load()

    @property
    def folder(self) -> Path | None:
        """The folder; None if the weights were passed as a ``state_dict``."""
        return self._checkpoint.path

    @property
    def files(self) -> list[Path]:
        """The files that hold the weights; none if what is read of them depends on more than these files."""
        return self._checkpoint.weight_files()

    def read(self, name: str) -> np.ndarray:
        """See :class:`ModelWeights`."""
        tensors = self._open()
        alias = tied(self.config, self.head).get(name, name)
        return (tensors[PREFIX + alias] if PREFIX + alias in tensors else tensors[alias]).read()

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """See :class:`ModelWeights`."""
        for name, tensor in self._open().items():
            yield name, tensor.read()

    def is_complete(self) -> bool:
        """Say whether the folder has every weight, so that none would start from random numbers.

        Raises:
            WeightsMismatchError: its weights are those of another model.
        """
        return not self._find_tensors().fresh

    def _open(self) -> Tensors:
        matched = self._find_tensors()
        if matched.fresh:
            raise InputError(
                f"{self._checkpoint.folder} has no weights for {', '.join(sorted(matched.fresh))}; fine-tune the model "
                "first."
            )
        return matched.tensors

    def _find_tensors(self) -> Matched:
        if self._matched is None:
            self._matched = self._checkpoint.find_tensors(self.head)
        return self._matched

    def snapshot(self) -> Snapshot:
        """See :class:`ModelWeights`."""
        return Unchanging()


def weights_of(model: Any) -> ModelWeights:
    """Return the weights of a model as the engine reads them.

    Raises:
        InputError: it is something else, or a model that the engine cannot run.
    """
    if hasattr(model, "engine_weights"):
        weights: ModelWeights = model.engine_weights()
        return weights
    if hasattr(model, "read") and hasattr(model, "snapshot"):
        return model
    raise InputError(
        f"EngineRunner takes a loaded model of this package, got {model!r:.80}. Load one with from_pretrained(); use "
        "EngineRunner.from_folder() for a folder; or use pipeline(), which takes a folder or a name."
    )
