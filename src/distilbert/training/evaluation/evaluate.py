"""``evaluate``: a model, and labelled examples, to everything that is known of how well it does."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError, InputError
from ...data.examples import FINETUNE_TASKS, Example, Labels
from ...data.labelled import read_examples
from ...data.labels import check_labels, labels_of_config
from ...tasks import Task
from ...tasks.loading import pipeline
from .bootstrap import Interval, intervals
from .compare import Side, compare
from .config import EvaluateConfig
from .details import details
from .metrics import figures, main_metric
from .predictions import predict
from .result import FILES, Evaluation, ModelResult
from .rows import Row, rows, worst
from .speed import speeds
from .weighted import weighted

__all__ = ["Evaluation", "ModelResult", "evaluate"]

Progress = Callable[[str, int, int], None]  # what is done, how much of it, and of how much


def evaluate(
    config: EvaluateConfig, *, labels: Labels | None = None, on_progress: Progress | None = None
) -> Evaluation:
    """Evaluate a model, and compare it with another one if the settings name one; write files if they name a folder.

    Args:
        config: the settings.
        labels: what the files call the labels of a model that has these; by default their names or numbers.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: the model does not fit the task, or the folder holds an evaluation already.
        DataError: the data cannot be read, lack labels, or have a label that the model does not have.
        MissingExtraError: scikit-learn, or another package of the extra ``train``, is not installed.
    """
    _check_output(config)
    names = _names(config)
    tasks = {names[0]: _load(config, config.model, config.task or None)}
    if config.compare:
        tasks[names[1]] = _load(config, config.compare, tasks[names[0]].task)
    task_name = tasks[names[0]].task
    examples, read = _read(config, task_name)
    say = on_progress or (lambda what, done, total: None)
    judged = [_judge(name, task, examples, config, labels, say) for name, task in tasks.items()]
    say("measuring speed", 0, 1)
    measured = speeds(tasks, examples) if config.speed else {}
    models = [
        ModelResult(one.name, path, one.facts, one.metrics, one.intervals, one.details, measured.get(one.name))
        for one, path in zip(judged, (config.model, config.compare), strict=False)
    ]
    sides = [
        Side(one.weighted, one.rows, one.facts, dataclasses.asdict(measured[one.name]) if measured else {})
        for one in judged
    ]
    first = judged[0]
    main, higher = main_metric(task_name, first.labels)
    result = Evaluation(
        task=task_name,
        main_metric=main,
        higher_is_better=higher,
        data={
            **read,
            "examples": len(examples),
            "labels": list(first.labels.names),
            "problem": first.labels.problem,
        },
        models=models,
        comparison=compare(*sides, samples=config.samples, seed=config.seed) if len(sides) == 2 else None,
        worst=worst(first.rows, first.badness, config.worst),
        about=_about(config),
        predictions=first.rows,
    )
    if config.output:
        result.save(config.output)
    return result


@dataclass(frozen=True)
class _Judged:
    """A model's answers and what they are worth."""

    name: str
    labels: Labels
    facts: dict[str, int]
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    details: dict[str, Any]
    weighted: Any
    rows: list[Row]
    badness: list[tuple[float, ...]]


def _judge(
    name: str,
    task: Task[Any],
    examples: Sequence[Example],
    config: EvaluateConfig,
    given: Labels | None,
    say: Progress,
) -> _Judged:
    labels = labels_of_config(task.config, task.task)
    if given is not None and set(given.names) == set(labels.names):
        labels = given.ordered(labels.names)
    check_labels(examples, labels, f"the evaluation data of {name}" if config.compare else "the evaluation data")
    predictions = predict(task, examples, on_progress=lambda done, total: say(f"evaluating {name}", done, total))
    compared = (task.task, examples, predictions, labels)
    metric = weighted(*compared)
    made, badness = rows(*compared)
    return _Judged(
        name,
        labels,
        _facts(task),
        figures(*compared),
        intervals(metric, len(examples), config.samples, config.seed),
        details(*compared),
        metric,
        made,
        badness,
    )


def _check_output(config: EvaluateConfig) -> None:
    there = [name for name in FILES if config.output and (Path(config.output) / name).exists()]
    if there and not config.overwrite:
        raise InputError(
            f"{config.output} holds an evaluation already ({', '.join(there)}): choose another folder, or overwrite it."
        )


def _names(config: EvaluateConfig) -> tuple[str, str]:
    """Return what to call the two models: the last part of their folders, or all of it where that is the same."""
    first, second = (Path(path).name or path for path in (config.model, config.compare))
    if first != second:
        return first, second
    return (config.model, config.compare) if config.model != config.compare else (first, f"{second} (again)")


def _load(config: EvaluateConfig, model: str, task_name: str | None) -> Task[Any]:
    task = pipeline(
        task_name,
        model,
        device=config.device,
        runner=config.runner or None,
        precision=config.precision,
        batch_tokens=config.batch_tokens,
    )
    if task.task not in FINETUNE_TASKS:
        raise InputError(f"The task {task.task!r} cannot be evaluated. Tasks are: {', '.join(FINETUNE_TASKS)}.")
    return task


def _read(config: EvaluateConfig, task_name: str) -> tuple[list[Example], dict[str, Any]]:
    reading = read_examples(
        task_name, config.data, columns=config.columns or None, delimiter=config.delimiter, split=config.split
    )
    examples = list(reading.examples)
    if not examples:
        raise DataError(f"There are no examples in {', '.join(config.data)}.")
    if 0 < config.limit < len(examples):  # files are often sorted, so the first ones would not do
        picked = np.random.default_rng(config.seed).choice(len(examples), config.limit, replace=False)
        examples = [examples[index] for index in sorted(picked.tolist())]
    return examples, {"sources": reading.sources, "columns": reading.columns, "read": len(reading.examples)}


def _facts(task: Task[Any]) -> dict[str, int]:
    facts = {"layers": task.config.n_layers, "dim": task.config.dim}
    if hasattr(task.model, "parameters"):
        tensors = list(task.model.parameters())
        facts["parameters"] = sum(tensor.numel() for tensor in tensors)
        facts["bytes"] = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return facts


def _about(config: EvaluateConfig) -> dict[str, Any]:
    from ..run_summary import machine

    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": created, "machine": machine(), "settings": config.to_dict()}
