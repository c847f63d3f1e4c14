"""A run's metrics for TensorBoard, if a folder for them is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from ...core.extras import require

NOT_SCALARS = ("kind", "step")
WITHOUT_TENSORFLOW = "tensorboard.compat.notf"


class Board:
    """Writes the numbers of metrics records as TensorBoard scalars; without a folder it does nothing.

    Args:
        folder: where the event files go; None: nowhere.
        first_step: the first step that will be logged. After a resume it hides what an earlier part of the run
            logged from there on.

    Raises:
        MissingExtraError: a folder is given and tensorboard is not installed.
    """

    def __init__(self, folder: Path | None, first_step: int = 0) -> None:
        self._writer: Any = None
        if folder is not None:
            self._writer = _writer_class()(str(folder), purge_step=first_step if first_step > 0 else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, record: Mapping[str, Any]) -> None:
        """Write the numbers of a record as ``train/loss``, ``train/terms/ce``, ``evaluation/perplexity`` and so on.

        Args:
            record: a line of ``metrics.jsonl``: its ``kind`` becomes the group, its ``step`` the position; what is
                no number is left out.
        """
        if self._writer is None:
            return
        for name, value in _scalars(record["kind"], record):
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write what is waiting and close the file. Closing twice does no harm."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _scalars(group: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(f"{group}/{key}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and key not in NOT_SCALARS:
            yield f"{group}/{key}", float(value)


def _writer_class() -> Any:
    """Import PyTorch's writer without TensorFlow, which tensorboard loads for seconds where it is installed.

    A module of this name is tensorboard's own switch for that; it is read once.
    """
    require("tensorboard", "train")
    placed = WITHOUT_TENSORFLOW not in sys.modules
    if placed:
        sys.modules[WITHOUT_TENSORFLOW] = ModuleType(WITHOUT_TENSORFLOW)
    try:
        return require("torch.utils.tensorboard", "train").SummaryWriter
    finally:
        if placed:
            del sys.modules[WITHOUT_TENSORFLOW]
