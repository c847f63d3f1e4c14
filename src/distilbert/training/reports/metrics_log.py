"""Where a run writes its metrics while it trains: ``metrics.jsonl``, one JSON record a line, and TensorBoard."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

from ...core.extras import require
from ...core.files import write_text
from .finished_run import read_metrics

NAME = "metrics.jsonl"
NOT_SCALARS = ("kind", "step")
WITHOUT_TENSORFLOW = "tensorboard.compat.notf"


class MetricsLog:
    """Writes records to ``metrics.jsonl`` and passes them to listeners.

    Args:
        folder: of the run; None to do nothing, as in all processes but the first.
        step: the last step that the run has done. Records of later steps are removed: a run that was killed wrote them
            after its last checkpoint.
        listeners: called with every record.
        close: called at the end.
    """

    def __init__(
        self,
        folder: Path | None,
        step: int,
        listeners: Sequence[Callable[[dict[str, Any]], None]],
        close: Callable[[], None],
    ) -> None:
        self._file: Any = None
        self._listeners, self._close = listeners, close
        if folder is not None:
            path = folder / NAME
            kept = [record for record in read_metrics(path) if record["step"] <= step] if step else []
            write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
            self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if self._file is not None:
            self._file.close()

    def write(self, record: dict[str, Any]) -> None:
        """Append a record and pass it to the listeners."""
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            for listener in self._listeners:
                listener(record)


class TensorBoardWriter:
    """Writes the numbers of metrics records as TensorBoard scalars; without a folder it does nothing.

    Args:
        folder: where to write the event files; None to write none.
        first_step: the first step that will be logged. After a resume, TensorBoard hides what was logged from this
            step on before.

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
            record: a line of ``metrics.jsonl``. Its ``kind`` becomes the group and its ``step`` the position; values
                that are not numbers are left out.
        """
        if self._writer is None:
            return
        for name, value in scalars(record["kind"], record):
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write what is buffered and close the file. A second call does nothing."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(group: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a record with names such as ``train/terms/ce``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from scalars(f"{group}/{key}", value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and key not in NOT_SCALARS:
            yield f"{group}/{key}", float(value)


def _writer_class() -> Any:
    """Return PyTorch's writer, imported without TensorFlow, whose import takes seconds.

    tensorboard imports TensorFlow if it is installed, unless there is a module of this name.
    """
    require("tensorboard", "train")
    replaced = WITHOUT_TENSORFLOW not in sys.modules
    if replaced:
        sys.modules[WITHOUT_TENSORFLOW] = ModuleType(WITHOUT_TENSORFLOW)
    try:
        return require("torch.utils.tensorboard", "train").SummaryWriter
    finally:
        if replaced:
            del sys.modules[WITHOUT_TENSORFLOW]
