"""What stays of a model that is shrunk: chosen by what its parts cost and what they do, and written to a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.files import replacing_folder
from ...core.hub import resolve
from ...core.runner_protocol import pools_mean
from ...core.schema import HEADS
from ...data.examples import Example
from ...data.labelled import read_examples
from ...data.labels import labels_of_config
from ...engine.engine_runner import EngineRunner
from ...models import pytorch
from ...models.auto import AutoTokenizer
from ...models.pytorch.surgery import keep_tokens
from ...tasks import Task
from ...text.spec import TokenizerSpec
from ...text.tokenizer_files import write_spec
from ...text.vocabulary_trimming import trim_vocabulary
from ..distill_models import pick_layers
from ..evaluation.quantizer import CALIBRATION_TEXTS
from ..evaluation.recording_runner import record_batches
from ..evaluation.speed import measure_speeds
from ..evaluation.task_metrics import with_runner
from ..finetuning.encoded_examples import encode_examples
from ..shrink_config import ShrinkConfig
from .importance import Importance, measure_importance
from .smaller_model import Shape, all_parts, choose_shape, cut, first_parts, most_important_parts
from .time_model import Size, TimeModel, fit_time_model

MARGIN = 1.03  # times as fast as asked for, so that noise does not decide
ENOUGH = 1.1  # times as fast as asked for; a model that is faster still is made wider
TRIES = 4  # to come close to the speed, each with what was learned from the last one
Report = Callable[[str], None]


class Planner:
    """Decides what stays of a model, and writes what is left of it."""

    def __init__(self, config: ShrinkConfig, teacher: Task[Any], speed_data: Sequence[Example], report: Report) -> None:
        self._config, self._teacher, self._speed_data, self._report = config, teacher, speed_data, report
        architecture, source = HEADS[teacher.spec.head].architecture, resolve(config.model)
        self._model = getattr(pytorch, architecture).from_pretrained(source).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(source)
        head = self._model.head_spec
        self._reads_all = head.per_token or pools_mean(head, self._model.config)

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the smaller model, as it was cut, and return what was decided."""
        config = self._config
        texts = read_examples(
            self._teacher.task,
            config.data + config.unlabelled_data,
            columns=config.columns,
            delimiter=config.delimiter,
            encoding=config.encoding,
            labelled=False,
        ).examples
        shape = self._choose(texts)
        model = cut(self._model, shape)
        spec = self._tokenizer.spec
        trimmed: dict[str, Any] = {}
        if config.vocabulary:
            spec, rows, trimmed = self._trim(texts)
            keep_tokens(model, torch.from_numpy(rows))
        with replacing_folder(folder) as new:
            model.save_pretrained(new)
            write_spec(spec, new)
        return {
            "layers": len(shape.layers),
            "hidden_dim": model.config.hidden_dim,
            "heads": sum(map(len, shape.heads)),
            "parameters": model.num_parameters(),
            "parameters_before": self._model.num_parameters(),
            **trimmed,
        }

    def _choose(self, texts: Sequence[Example]) -> Shape:
        """Choose what stays, so that the engine is as fast as it should be."""
        config, whole = self._config, self._model.config
        layers = pick_layers(config.layers, whole.n_layers, lowest=True) if config.layers else None
        if config.hidden_dim:
            if config.hidden_dim > whole.hidden_dim:
                raise ConfigError(f"The model has {whole.hidden_dim} columns in each layer; got {config.hidden_dim}.")
            return most_important_parts(self._importance(texts), layers or range(whole.n_layers), config.hidden_dim)
        if config.target_speedup == 1:
            return all_parts(whole, layers or range(whole.n_layers))
        self._report("measuring what layers, heads and columns cost")
        times = fit_time_model(self._seconds(_sizes_to_measure(whole)))
        return self._reach_speed(self._importance(texts), times, layers)

    def _importance(self, texts: Sequence[Example]) -> Importance:
        """Return what heads and columns do for the answers to some of the texts."""
        self._report("measuring what heads and columns do for the answers")
        return measure_importance(
            self._model, record_batches(self._teacher, texts[:CALIBRATION_TEXTS]), self._config.seed
        )

    def _reach_speed(self, importance: Importance, times: TimeModel, layers: Sequence[int] | None) -> Shape:
        """Return the largest shape that is found to be fast enough; if none is, the last that was tried.

        Costs do not quite add up: a model whose weights fit into a cache is faster than the sum. So a shape is
        measured, and the next one is thinner, or wider.
        """
        target, full = self._config.target_speedup, all_parts(self._model.config, range(self._model.config.n_layers))
        allowed = times.seconds(full.size(self._reads_all)) / (MARGIN * target)
        best, slowest = None, float("inf")
        for _ in range(TRIES):
            shape = choose_shape(
                importance,
                times,
                allowed,
                reads_all=self._reads_all,
                layers=layers,
                with_fewer_heads=self._config.prune_heads,
            )
            before, after = self._seconds_of([full, shape])
            speedup = before / after
            self._report(
                f"{len(shape.layers)} layers, {sum(map(len, shape.heads))} heads, {len(shape.columns[0])} columns in "
                f"each layer: {speedup:.2f} times as fast"
            )
            if target <= speedup < slowest:
                best, slowest = shape, speedup
            is_whole = len(shape.columns[0]) == self._model.config.hidden_dim
            if target <= speedup and (speedup <= ENOUGH * target or is_whole):
                break
            layers = shape.layers
            allowed *= speedup / (MARGIN * target)
        return best or shape

    def _seconds(self, sizes: Sequence[tuple[int, int, int]]) -> dict[Size, float]:
        """Return the seconds of models with some of the first layers, heads and columns, by their sizes."""
        shapes = [first_parts(self._model.config, *size) for size in sizes]
        return dict(zip([shape.size(self._reads_all) for shape in shapes], self._seconds_of(shapes), strict=True))

    def _seconds_of(self, shapes: Sequence[Shape]) -> list[float]:
        """Return the seconds that models of these shapes take for an example, measured in turn."""
        threads = self._config.threads or None
        tasks = {
            str(number): with_runner(self._teacher, EngineRunner(cut(self._model, shape), "auto", threads))
            for number, shape in enumerate(shapes)
        }
        return [1 / speed.examples_per_second for speed in measure_speeds(tasks, self._speed_data).values()]

    def _trim(self, texts: Sequence[Example]) -> tuple[TokenizerSpec, np.ndarray, dict[str, Any]]:
        """Choose the entries of the vocabulary that stay, by how often they occur in all texts."""
        self._report("counting the entries of the vocabulary")
        tokenizer, length = self._tokenizer, self._model.config.max_position_embeddings
        counts = np.zeros(len(tokenizer.spec), np.int64)
        labels = labels_of_config(self._model.config, self._teacher.task)
        for example in encode_examples(
            self._teacher.task, texts, labels, tokenizer, max_length=length, stride=length // 4
        ):
            for ids in example.sequences:
                counts += np.bincount(ids, minlength=len(counts))
        trimmed, rows = trim_vocabulary(tokenizer.spec, counts, self._config.vocabulary)
        covered = float(counts[rows].sum() / max(1, counts.sum()))
        self._report(f"{len(trimmed):,} of {len(counts):,} entries of the vocabulary stay: {covered:.1%} of the tokens")
        return trimmed, rows, {"vocabulary": len(trimmed), "vocabulary_before": len(counts), "covered": covered}


def _sizes_to_measure(config: DistilBertConfig) -> list[tuple[int, int, int]]:
    """Return layers, and heads and columns of each, of models whose times tell what each part costs."""
    layers, heads, columns = config.n_layers, config.n_heads, config.hidden_dim
    return [
        (layers, heads, columns),
        (layers, (heads + 1) // 2, columns),
        (layers, heads, max(1, columns // 2)),
        ((layers + 1) // 2, heads, columns),
        (1, heads, columns),
        (1, 1, max(1, columns // 4)),
    ]
