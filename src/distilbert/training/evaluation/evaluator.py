"""``evaluate``: from a model and labelled examples to metrics, intervals, calibration, speed and the worst errors."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import DataError, InputError
from ...core.progress_bar import ProgressBar
from ...core.schema import tensor_shapes, tied
from ...data.examples import Example, Labels
from ...data.labelled import read_examples
from ...data.labels import check_labels, labels_of_config
from ...data.tag_conversion import in_scheme_of
from ...tasks import Task
from ...tasks.registry import task_spec
from .bootstrap import Interval, ResampledMetrics, bootstrap_intervals
from .evaluate_config import EvaluateConfig
from .model_comparison import ComparedModel, compare_models
from .result import FILES, Evaluation, ModelResult
from .speed import Speed, measure_speeds
from .task_evaluation import ExampleResult, Metrics, Severity
from .task_metrics import (
    CustomMetrics,
    breakdown,
    compute_metrics,
    example_results,
    load_task,
    predict,
    resampled_metrics,
    task_evaluation,
    worst_results,
)

__all__ = ["Evaluation", "ModelResult", "evaluate"]

ProgressCallback = Callable[[str, int, int], None]  # what is being done, how much of it is done, and of how much


def evaluate(
    config: EvaluateConfig,
    *,
    labels: Labels | None = None,
    metrics: CustomMetrics | None = None,
    verbose: bool = True,
    on_progress: ProgressCallback | None = None,
) -> Evaluation:
    """Evaluate a model, and compare it with a second one if the settings name one; write files if they name a folder.

    Args:
        config: the settings.
        labels: the names by which the files call the labels of the model; by default the model's names or numbers.
        metrics: metrics of your own beside those of the task: by name, functions of two lists, what is right for each
            example and what the model answered, as they stand in ``predictions.jsonl``. They have no intervals.
        verbose: show the progress, on a terminal and in a notebook.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: the model does not fit the task, the folder holds an evaluation already, or a metric is no number.
        DataError: the data cannot be read, lack labels, or have a label that the model does not have.
        MissingExtraError: scikit-learn, or another package of the extra ``evaluate``, is not installed.
    """
    EvaluateConfig.check(config, "evaluate")
    _check_output(config)
    with ProgressBar("loading ...", shown=None if verbose else False) as bar:

        def report(what: str, done: int, total: int) -> None:
            bar.update(what, done, total)
            if on_progress is not None:
                on_progress(what, done, total)

        result = _evaluate(config, labels, metrics or {}, report)
    if config.output:
        result.save(config.output)
    return result


def _evaluate(
    config: EvaluateConfig, labels: Labels | None, metrics: CustomMetrics, report: ProgressCallback
) -> Evaluation:
    names = _model_names(config)
    tasks = {names[0]: _load_task(config, config.model, config.task or None)}
    if config.compare:
        tasks[names[1]] = _load_task(config, config.compare, tasks[names[0]].task)
    task_name = tasks[names[0]].task
    examples, sources = _read_examples(config, task_name)
    evaluated: list[_EvaluatedModel] = []
    for name, task in tasks.items():
        first_labels = evaluated[0].labels if evaluated else None
        evaluated.append(_evaluate_model(name, task, examples, config, labels, first_labels, metrics, report))
    report("measuring speed", 0, 1)
    speeds = measure_speeds(tasks, examples) if config.speed else {}
    first = evaluated[0]
    metric = task_spec(task_name).metric_for(first.labels.problem)
    comparison = None
    if len(evaluated) == 2:
        second = evaluated[1]
        comparison = compare_models(
            first.compared(speeds.get(first.name)),
            second.compared(speeds.get(second.name)),
            task_evaluation(task_name, first.labels.problem).compared_answers,
            samples=config.samples,
            seed=config.seed,
        )
    return Evaluation(
        task=task_name,
        main_metric=metric.name,
        higher_is_better=metric.higher_is_better,
        data={
            **sources,
            "examples": len(examples),
            "labels": list(first.labels.names),
            "problem": first.labels.problem,
        },
        models=[
            model.result(path, speeds.get(model.name))
            for model, path in zip(evaluated, (config.model, config.compare), strict=False)
        ],
        comparison=comparison,
        worst=worst_results(first.results, first.severities, config.worst),
        about=_about(config),
        predictions=first.results,
    )


@dataclass(frozen=True)
class _EvaluatedModel:
    """A model with its answers and their metrics; see :class:`.result.ModelResult` for the fields of that name."""

    name: str
    labels: Labels
    facts: dict[str, int]
    metrics: Metrics
    intervals: dict[str, Interval]
    details: dict[str, Any]
    resampled_metrics: ResampledMetrics
    results: list[ExampleResult]
    severities: list[Severity]

    def result(self, path: str, speed: Speed | None) -> ModelResult:
        """Return what is kept of the model, which was loaded from ``path``."""
        return ModelResult(self.name, path, self.facts, self.metrics, self.intervals, self.details, speed)

    def compared(self, speed: Speed | None) -> ComparedModel:
        """Return what a comparison needs of the model."""
        measured = {} if speed is None else dataclasses.asdict(speed)
        return ComparedModel(self.resampled_metrics, self.results, self.facts, measured)


def _evaluate_model(
    name: str,
    task: Task[Any],
    examples: Sequence[Example],
    config: EvaluateConfig,
    given_labels: Labels | None,
    first_labels: Labels | None,
    metrics: CustomMetrics,
    report: ProgressCallback,
) -> _EvaluatedModel:
    labels = labels_of_config(task.config, task.task)
    if given_labels is not None and set(given_labels.names) == set(labels.names):
        labels = given_labels.ordered(labels.names)
    what = f"the evaluation data of {name}" if config.compare else "the evaluation data"
    examples = in_scheme_of(labels, examples, what)
    check_labels(examples, labels, what)
    predictions = predict(task, examples, on_progress=lambda done, total: report(f"evaluating {name}", done, total))
    if first_labels is not None:
        labels, predictions = _in_order_of(first_labels, labels, predictions)
    arguments = (task.task, examples, predictions, labels)
    resampled = resampled_metrics(*arguments)
    results, severities = example_results(*arguments)
    return _EvaluatedModel(
        name,
        labels,
        _model_facts(task),
        compute_metrics(*arguments, custom=metrics),
        bootstrap_intervals(resampled, len(examples), config.samples, config.seed),
        breakdown(*arguments),
        resampled,
        results,
        severities,
    )


def _in_order_of(first: Labels, labels: Labels, predictions: list[Any]) -> tuple[Labels, list[Any]]:
    """Return labels and scores of texts in the order of another model's labels, if it has the same ones.

    Some metrics and tables go by the number of a label, which must mean the same of both models.
    """
    numbers = [first.index.get(name, -1) for name in labels.names]
    if not labels.problem or labels.problem != first.problem or sorted(numbers) != list(range(len(first.names))):
        return labels, predictions
    order = np.argsort(numbers)
    return first, [scores[order] for scores in predictions]


def _check_output(config: EvaluateConfig) -> None:
    existing = [name for name in FILES if config.output and (Path(config.output) / name).exists()]
    if existing and not config.overwrite:
        raise InputError(
            f"{config.output} holds an evaluation already ({', '.join(existing)}): choose another folder, or overwrite "
            "it."
        )
    for name in existing:
        for source in config.data:
            if isinstance(source, str) and Path(source).exists() and Path(source).samefile(Path(config.output) / name):
                raise InputError(f"{source} is read, and would be overwritten by {name}; choose another output folder.")


def _model_names(config: EvaluateConfig) -> tuple[str, str]:
    """Return the names of the two models in tables: the last part of each path, or all of it if these are equal."""
    first, second = (Path(path).name or path for path in (config.model, config.compare))
    if first != second:
        return first, second
    return (config.model, config.compare) if config.model != config.compare else (first, f"{second} (again)")


def _load_task(config: EvaluateConfig, model: str, task_name: str | None) -> Task[Any]:
    return load_task(
        task_name,
        model,
        device=config.device,
        runner=config.runner or None,
        precision=config.precision,
        batch_tokens=config.batch_tokens,
    )


def _read_examples(config: EvaluateConfig, task_name: str) -> tuple[list[Example], dict[str, Any]]:
    """Return the examples to evaluate on, and where they were read from."""
    reading = read_examples(
        task_name,
        config.data,
        columns=config.columns or None,
        delimiter=config.delimiter,
        encoding=config.encoding,
        split=config.split,
    )
    examples = list(reading.examples)
    if not examples:
        raise DataError(f"There are no examples in {', '.join(config.data)}.")
    if 0 < config.limit < len(examples):  # files are often sorted, so the first examples are not a fair sample
        indices = np.random.default_rng(config.seed).choice(len(examples), config.limit, replace=False)
        examples = [examples[index] for index in sorted(indices.tolist())]
    return examples, {"sources": reading.sources, "columns": reading.columns, "read": len(reading.examples)}


def _model_facts(task: Task[Any]) -> dict[str, int]:
    facts = {"layers": task.config.n_layers, "dim": task.config.dim}
    if not getattr(task.runner, "is_loaded", True):  # the engine read the folder, and no framework is needed to count
        shared = tied(task.config, task.runner.head)
        shapes = tensor_shapes(task.config, task.runner.head)
        facts["parameters"] = sum(math.prod(shape) for name, shape in shapes.items() if name not in shared)
        facts["bytes"] = 4 * facts["parameters"]
        return facts
    if hasattr(task.model, "parameters"):
        tensors = list(task.model.parameters())
        facts["parameters"] = sum(tensor.numel() for tensor in tensors)
        facts["bytes"] = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return facts


def _about(config: EvaluateConfig) -> dict[str, Any]:
    from ..run_summary import machine

    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"created": created, "machine": machine(), "settings": config.to_dict()}
