"""``quantize``: a model and texts of its user to a folder that runs in int8, or to an error that says what it costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import DataError, GateError, InputError
from ...core.hub import resolve
from ...data.examples import FINETUNE_TASKS, Example, TextExample
from ...data.labelled import read_examples
from ...data.labels import check_labels, labels_of_config
from ...engine.quantization_search import (
    ScoredSetting,
    SearchResult,
    check_int8,
    check_max_drop,
    find_quantization,
)
from ...engine.sensitivity import ProgressCallback
from ...tasks import Task
from ...tasks.loading import pipeline
from ...tasks.registry import task_spec
from ...weights.folder import QUANTIZATION
from ..run_summary import machine
from .quantized import check_target, write_quantized
from .scoring import Scorer, record

CALIBRATION_TEXTS = 512  # the first ones of the file
LEAST_EXAMPLES = 50  # of fewer, one is worth more than two points
TEXT = (".txt", ".txt.gz")


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` wrote.

    Attributes:
        folder: where it is.
        files: names of its files.
        measured: task, metric, scores and drop in points, how many answers change, products and data; the same is in
            the folder.
        trail: every setting that was tried, in order.
    """

    folder: Path
    files: list[str]
    measured: dict[str, Any]
    trail: tuple[ScoredSetting, ...]


def quantize(
    model: str | os.PathLike[str],
    *,
    calibration: str | os.PathLike[str],
    metric_data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    max_drop: float = 0.5,
    task: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str = "",
    threads: int | None = None,
    overwrite: bool = False,
    on_progress: ProgressCallback | None = None,
) -> Quantized:
    """Write a model that runs in int8 and loses at most ``max_drop`` points of its main metric.

    Products that hurt stay in bf16, or in fp32 where the CPU is not faster in bf16. The metric is the main one of
    :func:`~.metrics.main_metric`, for fill-mask the accuracy; nothing is written if no setting passes.

    Args:
        model: a folder, the name of an installed model or of one on the hub, made for a task.
        calibration: texts like those that the model is for, with or without labels, in a file as
            :func:`~..data.labelled.read_examples` takes it, or for text-classification a ``.txt`` file with a text a
            line or two with a tab between them; the first 512 are used.
        metric_data: labelled examples, at least 50.
        output: a folder; its parents are made.
        max_drop: points that may be lost against fp32.
        task: None for what the model was made for.
        columns: the column of each role, for both files.
        delimiter: between columns, for both files.
        threads: to compute with; None leaves PyTorch's number.
        overwrite: replace a folder that holds what an earlier call wrote.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: a CPU without int8, a model that is quantized already or that no metric is known for, too few
            texts, or something else stands at ``output``.
        DataError: a file cannot be used, or there are too few examples in it.
        GateError: no setting loses as little as is allowed.
    """
    check_max_drop(max_drop)
    check_int8()
    folder, target = resolve(model), Path(output)
    check_target(target, folder, overwrite)
    if (folder / QUANTIZATION).exists():
        raise InputError(f"{model} is quantized already; name the model that it was made of.")
    loaded = _load(model, task, threads)
    texts = _read_texts(loaded.task, os.fspath(calibration), columns, delimiter)
    examples = _read_examples(loaded.task, os.fspath(metric_data), columns, delimiter)
    labels = labels_of_config(loaded.config, loaded.task)
    check_labels(examples, labels, "the metric data")
    say = on_progress or (lambda what, done, total: None)
    batches = record(loaded, texts, lambda done, total: say("reading the calibration texts", done, total))
    scorer = Scorer(loaded, examples, labels, lambda done, total: say(f"scoring {_setting(scorer)}", done, total))
    try:
        result = find_quantization(loaded.model, batches, scorer, max_drop, say)
    except GateError as error:
        raise GateError(f"{error} Nothing was written to {output}.", error.fp32_score, error.settings) from None
    measured = _measured(result, scorer, max_drop) | {
        "task": loaded.task,
        "data": {"name": Path(metric_data).name, "examples": len(examples)},
        "calibration": {
            "name": Path(calibration).name,
            "texts": len(texts),
            "tokens": sum(len(batch.input_ids) for batch in batches),
        },
        "cpu": machine()["cpu"],
    }
    files = write_quantized(folder, target, replace(result.quantization, measured=measured))
    return Quantized(target, files, measured, result.settings)


def _load(model: str | os.PathLike[str], name: str | None, threads: int | None) -> Task[Any]:
    advice = f"quantization is judged by one of {', '.join(FINETUNE_TASKS)}"
    if name is not None and (name := task_spec(name).name) not in FINETUNE_TASKS:
        raise InputError(f"There is no metric for the task {name!r}: {advice}.")
    loaded = pipeline(name, model, device="cpu", runner="engine", precision="fp32", threads=threads)
    if loaded.task not in FINETUNE_TASKS:
        raise InputError(
            f"{model} is an encoder without a head, whose vectors have no metric of their own: {advice}. Fine-tune it "
            "for one of them and quantize that, or run the encoder in bf16, which needs no calibration."
        )
    return loaded


def _read_texts(task: str, name: str, columns: Mapping[str, str] | None, delimiter: str) -> list[Example]:
    """Return the first texts of a calibration file."""
    if task == "text-classification" and name.lower().endswith(TEXT):
        lines = read_examples("fill-mask", [name]).examples[:CALIBRATION_TEXTS]
        return [_parted(line) for line in lines if isinstance(line, TextExample)]
    reading = read_examples(task, [name], columns=columns, delimiter=delimiter, labelled=False)
    return reading.examples[:CALIBRATION_TEXTS]


def _parted(line: TextExample) -> TextExample:
    text, _, pair = line.text.partition("\t")
    return TextExample(line.place, text, pair or None)


def _read_examples(task: str, name: str, columns: Mapping[str, str] | None, delimiter: str) -> list[Example]:
    reading = read_examples(task, [name], columns=columns, delimiter=delimiter, split="test")
    if len(reading.examples) < LEAST_EXAMPLES:
        raise DataError(
            f"{name} has {len(reading.examples)} examples; a drop of tenths of a point is measured on hundreds, and "
            f"at least {LEAST_EXAMPLES} are needed."
        )
    return reading.examples


def _setting(scorer: Scorer) -> str:
    return f"int8, setting {len(scorer.predictions)}" if scorer.predictions else "fp32"


def _measured(result: SearchResult, scorer: Scorer, max_drop: float) -> dict[str, Any]:
    chosen = result.best
    changed = scorer.changed(0, 1 + result.settings.index(chosen))
    return {
        "metric": scorer.metric,
        "fp32": result.fp32_score,
        "int8": chosen.score,
        "drop": chosen.drop,
        "max_drop": max_drop,
        "products": chosen.int8_products + len(chosen.float_products),
        "int8_products": chosen.int8_products,
        "floats": list(chosen.float_products),
        "beside": result.quantization.float_precision,
        "changed": None if changed is None else {"answers": changed[0], "of": changed[1]},
    }
