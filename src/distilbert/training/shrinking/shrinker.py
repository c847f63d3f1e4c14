"""``shrink``: a fine-tuned model becomes one that is faster by a stated factor and loses no more than is allowed.

The folder of a run holds ``config.toml``, ``plan.json`` (what stays of the model, and why), ``start`` (the model as it
was cut), ``run`` (its fine-tuning, with checkpoints and a report), and, if the drop is small enough, the model itself
with ``shrink.json``, which says what was measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import GateError, InputError
from ...core.files import write_json, write_text
from ...core.hub import MODEL_FILES, WEIGHT_FILES, resolve
from ...data.examples import REGRESSION, Example, Labels
from ...data.labels import check_labels, labels_of_config
from ...data.tag_conversion import in_scheme_of
from ...engine.quantization_search import ROUNDING
from ...tasks import Task
from ...tasks.loading import pipeline
from ...weights.folder import QUANTIZATION
from ..evaluation.quantizer import RunnerScorer, check_target, read_metric_data
from ..evaluation.speed import measure_speeds
from ..evaluation.task_metrics import task_evaluation
from ..finetuning.finetune_config import FinetuneConfig
from ..finetuning.finetuner import finetune
from ..finetuning.sweep import copy_results
from ..reports.model_card import shrink_section
from ..reports.rendering import escape_markdown
from ..run_folder import CONFIG, check_same_settings, discard_run
from ..run_summary import machine
from ..shrink_config import SHRUNK_TASKS, ShrinkConfig
from .planner import Planner, Report

PLAN, START, RUN, RESULT, CARD = "plan.json", "start", "run", "shrink.json", "README.md"


@dataclass(frozen=True)
class ShrunkModel:
    """The folder that :func:`shrink` wrote.

    Attributes:
        folder: its path.
        measured: task, metric, both scores and the drop in points; both speeds in examples a second and the speedup;
            what is left of the model; also written into ``shrink.json``.
    """

    folder: Path
    measured: dict[str, Any]


def shrink(
    config: ShrinkConfig | None = None,
    /,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = True,
    on_progress: Report | None = None,
    **settings: Any,
) -> ShrunkModel:
    """Make a model faster by a stated factor, and write it if it loses at most ``max_drop`` points.

    Blocks, feed-forward columns and, if asked for, attention heads are removed: those that matter least to the scores
    of the model (:mod:`.importance`), as many as the engine's speed on this machine demands (:mod:`.time_model`). Then
    the rest learns from the model's answers and from labels, as with ``finetune`` and a teacher. Speeds are measured
    from text to answer, in turn; scores on ``metric_data``, by the engine in fp32.

    Args:
        config: settings; or state them by name: ``shrink(model="models/sentiment", data=[...], ...)``.
        resume: go on with the run in ``output``. A finished run is judged anew, for example by another ``max_drop``.
        overwrite: start anew in a folder that holds a run.
        verbose: show the progress of the training on standard error.
        on_progress: called with a sentence about what was found or is being done.
        **settings: the fields of :class:`~distilbert.training.shrink_config.ShrinkConfig`.

    Raises:
        ConfigError: a setting is missing or cannot work, or the run to resume had others.
        DataError: the data cannot be used; the message names the place.
        InputError: the model has no head, is quantized, or cannot become that fast; or ``output`` holds something.
        GateError: the smaller model loses more than is allowed. Its training stays in ``output``; no model is written.
        Interrupted: Ctrl-C or SIGTERM, a KeyboardInterrupt; ``resume`` goes on.
    """
    config = config or ShrinkConfig(**settings)
    ShrinkConfig.check(config, "shrink")
    report = on_progress or (lambda line: None)
    folder = _open(config, resume, overwrite)
    teacher = _load(config)
    metric_examples = in_scheme_of(
        labels := labels_of_config(teacher.config, teacher.task),
        read_metric_data(teacher.task, config.metric_data, config.columns, config.delimiter, config.encoding),
        "the metric data",
    )
    check_labels(metric_examples, labels, "the metric data")
    if not (folder / PLAN).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        config.save(folder / CONFIG)
        discard_run(folder / RUN)  # which began with what another plan left of the model
        plan = Planner(config, teacher, metric_examples, report).write(folder / START)
        write_json(folder / PLAN, plan)
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    if config.epochs and not (folder / RUN / "summary.json").is_file():
        has_begun = (folder / RUN / CONFIG).is_file()
        finetune(
            _finetuning(config, teacher.task, folder, labels),
            resume=has_begun,
            overwrite=not has_begun,
            verbose=verbose,
        )
    smaller = folder / (RUN if config.epochs else START)
    report("measuring both models")
    measured = _measure(config, teacher, smaller, metric_examples, labels) | plan
    _judge(config, measured)
    copy_results(smaller, folder)
    source = smaller / CARD
    card = source.read_text(encoding="utf-8") if source.is_file() else f"# {escape_markdown(folder.resolve().name)}\n"
    write_text(folder / CARD, f"{card.rstrip()}\n\n{shrink_section(measured)}")
    write_json(folder / RESULT, measured)
    return ShrunkModel(folder, measured)


def _open(config: ShrinkConfig, resume: bool, overwrite: bool) -> Path:
    """Check what the output folder contains; without ``resume``, a run that may be overwritten loses its plan."""
    if resume and overwrite:
        raise InputError("resume goes on with a run and overwrite starts it anew: choose one.")
    folder = Path(config.output)
    has_run = (folder / CONFIG).is_file()
    if resume and has_run:
        check_same_settings(config, folder)
        return folder
    check_target(folder, resolve(config.model), overwrite)
    if has_run and not (folder / PLAN).is_file() and any((folder / "checkpoints").glob("*")):
        raise InputError(f"{folder} holds a run of another command; name another folder.")
    _discard_model(folder)
    (folder / PLAN).unlink(missing_ok=True)
    return folder


def _discard_model(folder: Path) -> None:
    """Remove the model that an earlier judgement let through, so that nobody takes it for one of this run."""
    if (folder / RESULT).is_file():
        for name in (RESULT, *MODEL_FILES, *WEIGHT_FILES):
            (folder / name).unlink(missing_ok=True)


def _load(config: ShrinkConfig) -> Task[Any]:
    """Load the model to shrink."""
    folder = resolve(config.model)
    if (folder / QUANTIZATION).exists():
        raise InputError(f"{config.model} is quantized; shrink the model that it was made of, and quantize the result.")
    task = _answering(folder, config.task or None, config, "fp32")
    if task.task not in SHRUNK_TASKS:
        raise InputError(
            f"{config.model} does {task.task}; shrink takes models for {', '.join(SHRUNK_TASKS)}. An encoder without a "
            "head, or a masked language model, becomes smaller by `distilbert distill`."
        )
    return task


def _answering(folder: str | os.PathLike[str], task: str | None, config: ShrinkConfig, precision: str) -> Task[Any]:
    threads = config.threads or None
    return pipeline(task, folder, device="cpu", runner="engine", precision=precision, threads=threads)


def _finetuning(config: ShrinkConfig, task: str, folder: Path, labels: Labels) -> FinetuneConfig:
    """Return the settings of the training in which the model that was cut learns from the whole one."""
    has_names = len(labels.names) > 1 and labels.problem != REGRESSION
    return FinetuneConfig(
        model=str(folder / START),
        teacher=config.model,
        output=str(folder / RUN),
        train_data=config.data,
        eval_data=config.metric_data,
        unlabelled_data=config.unlabelled_data,
        label_names=list(labels.names) if has_names else [],
        problem=labels.problem,
        baselines=False,
        task=task,
        **{
            name: getattr(config, name)
            for name in (
                "columns", "delimiter", "encoding", "epochs", "max_steps", "batch_size", "learning_rate",
                "teacher_weight", "temperature", "max_length", "checkpoint_minutes", "threads", "seed",
            )
        },
    )  # fmt: skip


def _measure(
    config: ShrinkConfig, teacher: Task[Any], folder: Path, examples: Sequence[Example], labels: Labels
) -> dict[str, Any]:
    """Score both models in fp32, and measure their speeds in turn, in the precision that the engine chooses."""
    names = {"before": resolve(config.model), "after": folder}
    scorers, scores = {}, {}
    for role, name in names.items():
        task = teacher if role == "before" else _answering(name, teacher.task, config, "fp32")
        scorers[role] = RunnerScorer(task, examples, labels)
        scores[role] = scorers[role](task.runner)
    speeds = measure_speeds(
        {role: _answering(name, teacher.task, config, "auto") for role, name in names.items()}, examples, rounds=5
    )
    before, after = (speeds[role].examples_per_second for role in names)
    count = task_evaluation(teacher.task, labels.problem).count_changes
    changed = None if count is None else count(*(scorer.predictions[0] for scorer in scorers.values()))
    return {
        "task": teacher.task,
        "metric": scorers["before"].metric,
        "before": scores["before"],
        "after": scores["after"],
        "drop": scores["before"] - scores["after"],
        "max_drop": config.max_drop,
        "changed": None if changed is None else {"answers": changed[0], "of": changed[1]},
        "target_speedup": None if config.hidden_dim else config.target_speedup,
        "speedup": round(after / before, 2),
        "examples_per_second": {"before": before, "after": after},
        "data": {"names": [Path(str(name)).name for name in config.metric_data], "examples": len(examples)},
        "cpu": machine()["cpu"],
    }


def _judge(config: ShrinkConfig, measured: Mapping[str, Any]) -> None:
    """Raise :class:`GateError` if the drop is larger than allowed; then no model stays in the folder of the run."""
    if measured["drop"] <= config.max_drop + ROUNDING:
        return
    _discard_model(Path(config.output))
    raise GateError(
        f"The smaller model is {measured['speedup']:.2f} times as fast and scores {measured['after']:.2f} points of "
        f"{measured['metric']}, a drop of {measured['drop']:.2f} against {measured['before']:.2f}; {config.max_drop:g} "
        f"may be lost. No model was written to {config.output}; its training is in {Path(config.output) / RUN}. Resume "
        "with a larger drop to take it as it is; or start anew with a smaller speedup, more epochs or unlabelled data.",
        measured["before"],
        [],
    )
