"""``fit``: a classifier of texts in seconds, as a linear head on vectors of a model that stays as it is."""

from __future__ import annotations

import html
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.config import DistilBertConfig
from ...core.counted import counted
from ...core.errors import ConfigError, DataError
from ...core.extras import require
from ...core.files import check_nothing_lost, check_output_folder, replacing_folder, write_json, write_text
from ...core.hub import TOKENIZER_FILES
from ...core.schema import HEADS, PREFIX
from ...data.examples import MULTI, REGRESSION, SINGLE, Labels, TextExample
from ...data.labelled import read_examples
from ...data.labels import check_class_weights, check_labels, collect_labels
from ...engine.engine_runner import EngineRunner
from ...engine.model_weights import FolderWeights
from ...models.auto import AutoTokenizer
from ...tasks.loading import installed_or_downloaded_default
from ...tasks.registry import task_spec
from ...tasks.scores import sigmoid, softmax
from ...weights.checkpoint import open_checkpoint
from ...weights.folder import save_tensors
from ..evaluation.quantizer import check_target
from ..evaluation.task_evaluation import of_kind
from ..evaluation.task_metrics import compute_metrics
from ..fit_config import FitConfig
from .baselines import TASK, measure_baselines, targets_of
from .linear_head import LinearHead, fit_linear_head
from .text_vectors import text_vectors, to_unit_scale

LEAST_TO_HOLD_OUT = 50  # examples; of fewer, a part says nothing
MARGIN = 1.5  # times the largest number that was seen; what is larger is cut off
OURS = "linear model of vectors"
ReportProgress = Callable[[str], None]


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` made and measured.

    Attributes:
        folder: the model.
        labels: the names of its labels; one for a regression.
        main_metric: the metric that decides.
        metrics: of the model on examples that it did not learn from; empty if none were held out.
        baselines: the same of models that know words alone, by name.
        examples: number of examples that were learned, and that were held out.
        strength: inverse strength of the regularization that was chosen.
        seconds: of the whole.
    """

    folder: Path
    labels: tuple[str, ...]
    main_metric: str
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    examples: tuple[int, int]
    strength: float
    seconds: float

    def table(self) -> list[tuple[str, float]]:
        """Return the main metric of each model, the best first."""
        rows = {name: metrics[self.main_metric] for name, metrics in ({OURS: self.metrics} | self.baselines).items()
                if metrics}  # fmt: skip
        return sorted(rows.items(), key=lambda row: -row[1])

    def advice(self) -> str:
        """Say in a sentence what the figures suggest."""
        if not self.metrics:
            return "Nothing was held out, so nothing is known about its quality: state eval_data."
        ours, best = self.metrics[self.main_metric], self.table()[0]
        per_label = self.examples[0] / max(1, len(self.labels))
        if best[0] != OURS:
            return (
                f"{best[0]} is better here ({best[1]:.4g} against {ours:.4g}): single words decide. Fine-tuning may "
                "beat both: `distilbert finetune`."
            )
        if per_label < 30:
            return (
                f"There are {per_label:.0f} examples a label: more of them will help most, and then contrastive tuning "
                "(`--contrastive 60`)."
            )
        return (
            "Fine-tuning (`distilbert finetune`) takes minutes where this took seconds, and gains most where more than "
            "the topic decides: grammar, inference, irony."
        )

    def _repr_html_(self) -> str:
        """Return the table as HTML, which a notebook shows."""
        rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td></tr>" for name, value in self.table())
        return f"<table><tr><th></th><th>{html.escape(self.main_metric)}</th></tr>{rows}</table>"


def fit(config: FitConfig | None = None, /, *, on_progress: ReportProgress | None = None, **settings: Any) -> FitResult:
    """Make a classifier of texts from labelled examples, in seconds.

    A linear model is fitted to vectors of a model that stays as it is: a logistic regression whose strength is chosen
    on examples that it did not see; one for each label where a text may have several; a ridge regression of numbers.
    With ``contrastive`` the model is tuned first, which pays where there are few examples. The result is written as an
    ordinary ``DistilBertForSequenceClassification`` with ``classifier_pooling="mean"``.

    Args:
        config: settings; or state them by name: ``fit(data=[...], output="models/intents")``.
        on_progress: called with a sentence about what is being done.
        **settings: the fields of :class:`FitConfig`.

    Raises:
        ConfigError: a setting is missing or cannot work.
        DataError: the data cannot be used; the message names the place.
        InputError: there is no model to take vectors of, or ``output`` holds something: with ``overwrite``, files that
            the new folder has not.
        MissingExtraError: scikit-learn is not installed, or PyTorch, which ``contrastive`` needs.
        TrainingError: the loss of contrastive tuning became infinite or NaN.
    """
    config = config or FitConfig(**settings)
    FitConfig.check(config, "fit")
    start, report = time.perf_counter(), on_progress or (lambda line: None)
    source, target = _folder_of(config.model), check_output_folder(config.output)
    check_target(target, source, config.overwrite)
    training = _read(config, config.data, config.split)
    labels = collect_labels(TASK, training.examples, problem=config.problem, names=config.label_names,
                            known=training.label_names)  # fmt: skip
    check_class_weights(config.class_weights, labels)
    examples = of_kind(training.examples, TextExample)
    held_out: list[TextExample] = []
    if config.eval_data:
        held_out = of_kind(_read(config, config.eval_data, config.eval_split).examples, TextExample)
        check_labels(held_out, labels, "the evaluation data")
    targets = targets_of(examples, labels)
    learned, kept = np.arange(len(examples)), np.arange(0)
    if not config.eval_data:
        learned, kept = _split(targets, labels, config)
        held_out = [examples[index] for index in kept]
    report(f"{len(examples):,} texts, {len(labels.names)} labels; vectors of {source.name}")
    with ExitStack() as resources:
        encoder = source
        if config.contrastive:
            encoder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="distilbert-")))
            _tune(source, encoder, [examples[index] for index in learned], targets[learned], labels, config, report)
        runner = EngineRunner.from_folder(
            encoder, head="", precision="auto", threads=config.threads or None, packed=not config.contrastive
        )
        tokenizer = AutoTokenizer.from_pretrained(source)
        longest = runner.config.max_position_embeddings

        def encode(some: Sequence[TextExample]) -> np.ndarray:
            return text_vectors(
                some, runner, tokenizer, longest,
                on_progress=lambda done, of: report(f"reading: {done:,} of {of:,}"),
            )  # fmt: skip

        vectors, scale = to_unit_scale(encode(examples))
        measured = encode(held_out) / np.float32(scale) if config.eval_data else vectors[kept]
        report("fitting")

        def fitted(rows: np.ndarray) -> LinearHead:
            return fit_linear_head(
                vectors[rows], targets[rows], labels.problem, len(labels.names),
                balanced=config.class_weights == "balanced", seed=config.seed,
            )  # fmt: skip

        head = fitted(learned)
        metrics: dict[str, float] = {}
        baselines: dict[str, dict[str, float]] = {}
        if held_out:
            metrics = dict(compute_metrics(TASK, held_out, list(to_predictions(head(measured), labels)), labels))
            if config.baselines:
                report("measuring what words alone are worth")
                baselines = measure_baselines([examples[index] for index in learned], held_out, labels)
        if len(learned) < len(examples):
            head = fitted(np.arange(len(examples)))
        result = FitResult(
            target, labels.names, task_spec(TASK).metric_for(labels.problem).name, metrics, baselines,
            (len(examples), len(held_out)), head.strength, round(time.perf_counter() - start, 2),
        )  # fmt: skip
        _write(encoder, source, target, head, labels, scale, np.abs(vectors).max(axis=0), result, config)
    return result


def _tune(
    source: Path,
    target: Path,
    examples: Sequence[TextExample],
    targets: np.ndarray,
    labels: Labels,
    config: FitConfig,
    report: ReportProgress,
) -> None:
    """Write a tuned encoder; see :func:`.contrastive_tuning.tune_encoder`.

    Raises:
        ConfigError: the texts do not have one label each.
        MissingExtraError: PyTorch is not installed.
    """
    if labels.problem != SINGLE:
        raise ConfigError(
            "contrastive needs texts with one label each: leave it out for several labels and for numbers."
        )
    require("torch", "train")
    from .contrastive_tuning import tune_encoder

    tune_encoder(
        source, target, examples, targets, steps=config.contrastive, seed=config.seed, threads=config.threads,
        on_step=lambda done, loss: report(f"tuning: step {done} of {config.contrastive}, loss {loss:.3f}"),
    )  # fmt: skip


def _folder_of(model: str) -> Path:
    """Return the folder of a model that is named, else of the default one of sentence-similarity."""
    if not model:
        return installed_or_downloaded_default("sentence-similarity")[1]
    return Path(open_checkpoint(model).folder)


def _read(config: FitConfig, sources: Sequence[str], split: str) -> Any:
    reading = read_examples(TASK, sources, columns=config.columns, delimiter=config.delimiter,
                            encoding=config.encoding, split=split)  # fmt: skip
    if len(reading.examples) < 2:
        raise DataError(f"{', '.join(map(str, sources))}: one example is not enough.")
    return reading


def _split(targets: np.ndarray, labels: Labels, config: FitConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples to learn from and those to measure on, as numbers; none of the latter if there are few."""
    count = len(targets)
    every = np.arange(count)
    if not config.eval_part or count < LEAST_TO_HOLD_OUT:
        return every, every[:0]
    order = np.random.default_rng(config.seed).permutation(count)
    if labels.problem != SINGLE:
        size = int(count * config.eval_part)
        return np.sort(order[size:]), np.sort(order[:size])
    kept: list[int] = []
    for label in range(len(labels.names)):  # of each label its part, and at least one is left to learn from
        own = order[targets[order] == label]
        kept += own[: min(round(len(own) * config.eval_part), len(own) - 1)].tolist()
    return np.setdiff1d(every, kept), np.sort(np.array(kept, np.int64))


def to_predictions(scores: np.ndarray, labels: Labels) -> np.ndarray:
    """Return scores as the task answers: probabilities, or the number of a regression."""
    if labels.problem == REGRESSION:
        return scores
    return sigmoid(scores) if labels.problem == MULTI else softmax(scores)


def head_arrays(head: LinearHead, scale: float, largest: np.ndarray) -> dict[str, np.ndarray]:
    """Return the head as the arrays of a ``DistilBertForSequenceClassification``.

    Its first map has a ReLU behind it, which must not cut anything: it divides the mean by ``scale`` and adds to each
    number more than the negative of any that was seen; the second map subtracts that again.

    Args:
        head: of vectors that were divided by ``scale``.
        scale: see above.
        largest: (D,) of the numbers of these vectors, without their signs.
    """
    shift = (MARGIN * largest + 1e-3).astype(np.float32)
    bias = head.bias - (head.weight.astype(np.float64) @ shift).astype(np.float32)
    return {
        "pre_classifier.weight": np.eye(len(shift), dtype=np.float32) / np.float32(scale),
        "pre_classifier.bias": shift,
        "classifier.weight": head.weight,
        "classifier.bias": bias.astype(np.float32),
    }


def _write(
    encoder: Path,
    source: Path,
    target: Path,
    head: LinearHead,
    labels: Labels,
    scale: float,
    largest: np.ndarray,
    result: FitResult,
    config: FitConfig,
) -> None:
    """Write the folder of the model, as a whole or not at all: ``encoder`` is ``source``, or was tuned from it."""
    checkpoint = open_checkpoint(encoder)
    arrays = {PREFIX + name: np.asarray(array) for name, array in FolderWeights(checkpoint, HEADS[""]).arrays()}
    arrays |= head_arrays(head, scale, largest)
    model_config = DistilBertConfig(
        **checkpoint.config.to_dict()
        | {
            "id2label": dict(enumerate(labels.names)),
            "label2id": {name: number for number, name in enumerate(labels.names)},
            "problem_type": labels.problem,
            "classifier_pooling": "mean",
            "architectures": [HEADS["ForSequenceClassification"].architecture],
        }
    )
    with replacing_folder(target) as folder:
        save_tensors(folder, arrays)
        model_config.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        write_json(folder / "fit.json", _summary(result, config, source))
        write_text(folder / "README.md", _card(result, source, config.contrastive))
        check_nothing_lost(target, folder)


def _summary(result: FitResult, config: FitConfig, source: Path) -> Mapping[str, Any]:
    return {
        "model": source.name,
        "data": [Path(str(name)).name for name in config.data],
        "eval_data": [Path(str(name)).name for name in config.eval_data],
        "examples": result.examples[0],
        "held_out": result.examples[1],
        "contrastive": config.contrastive,
        "labels": list(result.labels),
        "strength": result.strength,
        "main_metric": result.main_metric,
        "metrics": result.metrics,
        "baselines": result.baselines,
        "seconds": result.seconds,
    }


def _card(result: FitResult, source: Path, contrastive: int) -> str:
    rows = "".join(f"| {name} | {value:.4g} |\n" for name, value in result.table())
    measured = (
        f"On {counted(result.examples[1], 'example')} that it did not learn from:\n\n"
        f"| | {result.main_metric} |\n| --- | --- |\n{rows}"
    )
    return (
        "---\nlibrary_name: distilbert\npipeline_tag: text-classification\n---\n"
        f"# A linear model of {source.name}'s vectors\n\n"
        f"Learned from {counted(result.examples[0], 'example')} with {len(result.labels)} labels by `distilbert fit`; "
        f"the encoder is {source.name}, "
        f"{f'tuned by {contrastive} contrastive steps' if contrastive else 'unchanged'}.\n\n"
        f"{measured if result.metrics else 'No examples were held out to measure it.'}\n"
        "It reads the mean of a text's tokens (`classifier_pooling` in `config.json`). transformers' DistilBERT does "
        "not know this field, reads the first token, and answers differently: use this package.\n"
    )
