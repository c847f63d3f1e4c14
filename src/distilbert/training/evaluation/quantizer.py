"""``quantize``: from a model and data of its user to a folder whose model runs in int8.

The folder holds the model's own files, the scales that int8 needs, and a card that says what int8 costs. If it costs
more than is allowed, an error says how much, and nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.companions import CARD
from ...core.errors import DataError, GateError, InputError
from ...core.files import check_not_replaced, check_nothing_lost, replacing_folder, write_text
from ...core.hub import resolve
from ...core.runner_protocol import Runner
from ...data.examples import Example, Labels, TextExample
from ...data.file_formats import format_of
from ...data.labelled import read_examples
from ...data.labels import check_labels, labels_of_config
from ...data.tag_conversion import in_scheme_of
from ...engine.engine_runner import EngineRunner
from ...engine.quantization import Quantization
from ...engine.quantization_search import (
    ScoredSetting,
    SearchResult,
    check_int8,
    check_max_drop,
    find_quantization,
)
from ...engine.sensitivity import ProgressCallback
from ...models.packaging.contents import collect
from ...tasks import Task
from ...tasks.fill_mask import SPEC as FILL_MASK
from ...tasks.registry import task_spec
from ...weights.folder import QUANTIZATION
from ..reports.model_card import quantization_section
from ..reports.rendering import escape_markdown
from ..run_summary import machine
from .recording_runner import record_batches
from .task_metrics import CountCallback, compute_metrics, load_task, predict, task_evaluation, with_runner

CALIBRATION_TEXTS = 512  # the first ones of the file
LEAST_EXAMPLES = 50  # with fewer, one example is worth more than two points


@dataclass(frozen=True)
class QuantizedModel:
    """The folder that :func:`quantize` wrote.

    Attributes:
        folder: its path.
        files: names of its files.
        measured: task, metric, scores and drop in points, how many answers change, products and data; also written
            into the folder.
        settings: every setting that was tried, in order.
    """

    folder: Path
    files: list[str]
    measured: dict[str, Any]
    settings: tuple[ScoredSetting, ...]


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
    encoding: str = "",
    threads: int | None = None,
    overwrite: bool = False,
    on_progress: ProgressCallback | None = None,
) -> QuantizedModel:
    """Write a model that runs in int8 and loses at most ``max_drop`` points of its main metric.

    Matrix products whose quantization costs too much stay in bf16, or in fp32 if the CPU is not faster in bf16. The
    metric is the main one of the task, for fill-mask the accuracy. If no setting passes, nothing is written.

    Args:
        model: a fine-tuned model, a masked language model or an encoder without a head: a folder, or the name of an
            installed model or of one on the hub.
        calibration: a file of texts like those that the model is for, labelled or not, in any format of
            :func:`distilbert.data.labelled.read_examples`; for text-classification also a ``.txt`` file with one text
            a line, or two with a tab between them. The first 512 are used.
        metric_data: a file of at least 50 labelled examples.
        output: the folder to write; its parents are created.
        max_drop: points of the metric that may be lost against fp32.
        task: the task; None for the one that the model was made for.
        columns: the column of each role, for both files.
        delimiter: what separates columns, for both files; empty: what their formats or headers show.
        encoding: of both files, if they are text; empty for UTF-8.
        threads: number of threads; None for one for each core.
        overwrite: replace a folder that an earlier call wrote.
        on_progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        InputError: the CPU has no int8, the model is quantized already or its task has no metric, or ``output`` cannot
            be written.
        DataError: a file cannot be used, or has too few examples.
        GateError: every setting loses more than is allowed.
    """
    check_max_drop(max_drop)
    folder, target = resolve(model), Path(output)
    check_target(target, folder, overwrite)
    check_not_replaced(target, [folder, calibration, metric_data, Path.cwd()])
    check_int8()
    if (folder / QUANTIZATION).exists():
        raise InputError(f"{model} is quantized already; name the model that it was made of.")
    loaded = load_task(task, model, device="cpu", runner="engine", precision="fp32", threads=threads)
    texts = _read_texts(loaded.task, os.fspath(calibration), columns, delimiter, encoding)
    examples = read_metric_data(loaded.task, [os.fspath(metric_data)], columns, delimiter, encoding)
    labels = labels_of_config(loaded.config, loaded.task)
    examples = in_scheme_of(labels, examples, "the metric data")
    check_labels(examples, labels, "the metric data")
    report = on_progress or (lambda what, done, total: None)
    batches = record_batches(loaded, texts, lambda done, total: report("reading the calibration texts", done, total))
    scorer = RunnerScorer(
        loaded, examples, labels, lambda done, total: report(f"scoring {_setting_name(scorer)}", done, total)
    )
    assert isinstance(loaded.runner, EngineRunner)
    try:
        result = find_quantization(loaded.runner.weights, batches, scorer, max_drop, report)
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
    return QuantizedModel(target, files, measured, result.settings)


class RunnerScorer:
    """Scores runners of one model with the main metric of its task, on the same examples each time.

    Args:
        task: the task; its tokenizer and parameters serve every runner.
        examples: labelled examples.
        labels: those of the model.
        on_progress: called with the number of examples done, and of all.

    Attributes:
        metric: name of the main metric of the task; of fill-mask, whose main metric is better the lower it is, the
            accuracy.
        predictions: those of each runner that was scored, in order.
    """

    def __init__(
        self, task: Task[Any], examples: Sequence[Example], labels: Labels, on_progress: CountCallback | None = None
    ) -> None:
        self._task, self._examples, self._labels, self._on_progress = task, examples, labels, on_progress
        main = task_spec(task.task).metric_for(labels.problem)
        self.metric = main.name if main.higher_is_better else "accuracy"
        self._points = 1 if main.in_percent else 100
        self.predictions: list[list[Any]] = []

    def __call__(self, runner: Runner) -> float:
        """Return the metric in points, of which 100 are perfect."""
        predictions = predict(with_runner(self._task, runner), self._examples, on_progress=self._on_progress)
        self.predictions.append(predictions)
        metrics = compute_metrics(self._task.task, self._examples, predictions, self._labels)
        return self._points * metrics[self.metric]

    def count_changes(self, first: int, second: int) -> tuple[int, int] | None:
        """Count the answers that two runners give differently.

        Args:
            first: index into ``predictions``.
            second: another one.

        Returns:
            How many differ, and of how many; in token-classification these are words. None if answers are numbers.
        """
        count = task_evaluation(self._task.task, self._labels.problem).count_changes
        return None if count is None else count(self.predictions[first], self.predictions[second])


def _read_texts(
    task: str, name: str, columns: Mapping[str, str] | None, delimiter: str, encoding: str
) -> list[Example]:
    """Return the first texts of a calibration file."""
    labelled_data = task_spec(task).labelled
    takes_lines = labelled_data is not None and "text_pair" in labelled_data.roles  # a line is a text, or a pair
    if takes_lines and format_of(name).format == "txt":
        lines = read_examples(FILL_MASK.name, [name], encoding=encoding).examples[:CALIBRATION_TEXTS]
        return [_text_or_pair(line) for line in lines if isinstance(line, TextExample)]
    reading = read_examples(task, [name], columns=columns, delimiter=delimiter, encoding=encoding, labelled=False)
    return reading.examples[:CALIBRATION_TEXTS]


def _text_or_pair(line: TextExample) -> TextExample:
    text, _, pair = line.text.partition("\t")
    return TextExample(line.place, text, pair or None)


def read_metric_data(
    task: str, sources: Sequence[str], columns: Mapping[str, str] | None, delimiter: str, encoding: str
) -> list[Example]:
    """Return the labelled examples that a drop is measured on.

    Raises:
        DataError: they cannot be read, or there are fewer than ``LEAST_EXAMPLES``.
    """
    reading = read_examples(task, sources, columns=columns, delimiter=delimiter, encoding=encoding, split="test")
    if len(reading.examples) < LEAST_EXAMPLES:
        raise DataError(
            f"{', '.join(map(str, sources))} has {len(reading.examples)} examples; a drop of tenths of a point is "
            f"measured on hundreds, and at least {LEAST_EXAMPLES} are needed."
        )
    return reading.examples


def _setting_name(scorer: RunnerScorer) -> str:
    return f"int8, setting {len(scorer.predictions)}" if scorer.predictions else "fp32"


def _measured(result: SearchResult, scorer: RunnerScorer, max_drop: float) -> dict[str, Any]:
    chosen = result.best
    changed = scorer.count_changes(0, 1 + result.settings.index(chosen))
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


def check_target(target: Path, source: Path, overwrite: bool) -> None:
    """Check that a folder may be written, before anything is measured.

    Raises:
        InputError: it is a file or the model's own folder, or it is not empty and ``overwrite`` is not set.
    """
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; a model is written into a folder.")
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the folder of the model itself; name another one for the new model.")
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise InputError(f"{target} is not empty: choose another folder, or overwrite it.")


def write_quantized(source: Path, target: Path, quantization: Quantization) -> list[str]:
    """Write the folder as a whole or not at all; an existing folder is replaced.

    Args:
        source: the folder of the model, whose weights keep their type.
        target: the folder to write.
        quantization: the scales, and what was measured.

    Returns:
        The names of the files.

    Raises:
        InputError: ``target`` has files that the new folder does not have, and that would be lost.
        TokenizerError: the model has no tokenizer, or not its own.
        WeightsError: a weight is not a finite number.
    """
    with replacing_folder(target) as new:
        contents = collect(source, new, "keep")
        quantization.save(new)
        card = contents.card if contents.card is not None else f"# {escape_markdown(source.resolve().name)}\n"
        write_text(new / CARD, f"{card.rstrip()}\n\n{quantization_section(quantization.measured)}")
        names = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        check_nothing_lost(target, new)
    return names
