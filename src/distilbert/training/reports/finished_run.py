"""Reads what a run leaves in its folder: ``summary.json``, ``config.toml`` and ``metrics.jsonl``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DataError
from ...tasks.fill_mask import SPEC as FILL_MASK

JsonObject = Mapping[str, Any]
CONFIG = "config.toml"


@dataclass(frozen=True)
class FinishedRun:
    """The content of a run's folder.

    Args:
        summary: the content of ``summary.json``.
        config: the text of ``config.toml``; empty if there is no such file.
        train: the records of kind ``train`` in ``metrics.jsonl``, in the order of the file.
        evaluations: those of kind ``evaluation``.
    """

    summary: JsonObject
    config: str
    train: list[JsonObject]
    evaluations: list[JsonObject]

    @property
    def models(self) -> dict[str, JsonObject]:
        """What was measured of each model, by its name; a name without an object is left out."""
        return {name: values for name, values in nested(self.summary, "models").items() if isinstance(values, Mapping)}

    @property
    def task(self) -> str:
        """The task of a fine-tuning run; empty for distillation and pretraining."""
        return str(self.summary.get("task") or "")

    @property
    def model_task(self) -> str:
        """The task of the model: distillation and pretraining train masked language models."""
        return self.task or FILL_MASK.name

    @property
    def main_metric(self) -> str:
        """The metric by which the models of the run are compared."""
        return str(self.summary.get("main_metric", "perplexity"))

    @property
    def command(self) -> str:
        """The command line that makes the model from nothing; empty if the run was started from Python."""
        command = self.summary.get("command") or ""
        text = shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command)
        try:
            words = shlex.split(text)
        except ValueError:  # not written by a shell
            return text
        if "--resume" in words:  # takes all other options from the run, so they may be missing here
            return shlex.join([*words[:2], "--config", CONFIG])
        return shlex.join(word for word in words if word != "--overwrite") if "--overwrite" in words else text


def nested(values: JsonObject, key: str) -> JsonObject:
    """Return the object under ``key``, or an empty one if there is none."""
    value = values.get(key)
    return value if isinstance(value, Mapping) else {}


def read_run(folder: Path) -> FinishedRun:
    """Read the folder of a run.

    Raises:
        DataError: there is no ``summary.json``, or it is not a JSON object; a line of ``metrics.jsonl`` is not a JSON
            object, unless it is the last.
    """
    train: list[JsonObject] = []
    evaluations: list[JsonObject] = []
    for record in read_metrics(folder / "metrics.jsonl"):
        if record.get("kind") == "train":
            train.append(record)
        elif record.get("kind") == "evaluation":
            evaluations.append(record)
    return FinishedRun(read_summary(folder), read_config(folder), train, evaluations)


def read_metrics(path: Path) -> list[JsonObject]:
    """Return the records of a metrics file; none if there is no such file.

    A killed process may leave half a line at the end of the file; it is ignored.

    Raises:
        DataError: another line is not a JSON object with a step.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    records: list[JsonObject] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested too deeply
            if number == len(lines):
                break
            raise DataError(f"{path}, line {number}, is not JSON: {error}. Remove the line to go on.") from None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise DataError(f"{path}, line {number}, must hold a JSON object with a whole number as its 'step'.")
        records.append(record)
    return records


def read_config(folder: Path) -> str:
    """Return the text of ``config.toml``; empty if there is no such file."""
    path = folder / CONFIG
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def read_summary(folder: Path) -> JsonObject:
    """Return the content of ``summary.json``.

    Raises:
        DataError: it is missing or not a JSON object.
    """
    path = folder / "summary.json"
    try:
        summary = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no summary.json in {folder}: a run writes it when it ends.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(summary, dict):
        raise DataError(f"{path} must hold a JSON object, got a {type(summary).__name__}.")
    return summary
