"""What a run leaves in its folder, read back: ``summary.json``, ``config.toml``, ``metrics.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DataError

Record = Mapping[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder tells it.

    Args:
        summary: the content of ``summary.json``.
        config: the text of ``config.toml``; empty if there is no such file.
        train: the training records of ``metrics.jsonl``, in the order of the file.
        evaluations: its evaluation records.
    """

    summary: Record
    config: str
    train: list[Record]
    evaluations: list[Record]

    @property
    def models(self) -> dict[str, Record]:
        """The measurements of each model by its name; a name without an object is left out."""
        return {name: values for name, values in part(self.summary, "models").items() if isinstance(values, Mapping)}


def part(values: Record, key: str) -> Record:
    """Return the object under ``key``, or an empty one where there is none."""
    value = values.get(key)
    return value if isinstance(value, Mapping) else {}


def read_run(folder: Path) -> RunRecord:
    """Read the folder of a run.

    Raises:
        DataError: there is no ``summary.json``, it is not a JSON object, or a line of ``metrics.jsonl`` other than
            the last is none.
    """
    train: list[Record] = []
    evaluations: list[Record] = []
    for record in read_metrics(folder / "metrics.jsonl"):
        if record.get("kind") == "train":
            train.append(record)
        elif record.get("kind") == "evaluation":
            evaluations.append(record)
    config = folder / "config.toml"
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    return RunRecord(read_summary(folder), text, train, evaluations)


def read_metrics(path: Path) -> list[Record]:
    """Return the objects of a metrics file; an absent file is empty.

    A last line that is cut off, as a killed process leaves it, is ignored.

    Raises:
        DataError: another line is not a JSON object with a step.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:  # not JSON, or not UTF-8
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}, is not JSON: {error}. Remove the line to go on.") from None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise DataError(f"{path}, line {number}, must hold a JSON object with a whole number as its 'step'.")
        records.append(record)
    return records


def read_summary(folder: Path) -> Record:
    """Return the content of ``summary.json``.

    Raises:
        DataError: it is missing or not a JSON object.
    """
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no summary.json in {folder}: a run writes it when it ends.") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(summary, dict):
        raise DataError(f"{path} must hold a JSON object, got a {type(summary).__name__}.")
    return summary
