"""Writes ``metrics.jsonl``: one JSON record a line. A resumed run removes the records that it will write again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...core.files import write_text
from .finished_run import read_metrics

NAME = "metrics.jsonl"


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
