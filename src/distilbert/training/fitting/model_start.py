"""The linear head that ``fit`` makes: as the start of a model that is fine-tuned, and as what it must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.runner_protocol import Runner
from ...data.examples import Example, Labels, TextExample
from ...engine.engine_runner import EngineRunner
from ..evaluation.task_evaluation import of_kind
from ..evaluation.task_metrics import compute_metrics
from .baselines import TASK, measure_baselines, targets_of
from .fitter import OURS, head_arrays, to_predictions
from .linear_head import LinearHead, fit_linear_head
from .text_vectors import text_vectors, to_unit_scale

if TYPE_CHECKING:
    from ..finetuning.finetune_config import FinetuneConfig


def start_as_linear_head(
    model: Any, tokenizer: Any, examples: Sequence[Example], labels: Labels, config: FinetuneConfig
) -> None:
    """Write the linear model of the vectors of labelled texts into the head of a PyTorch model.

    Args:
        model: a ``DistilBertForSequenceClassification`` without dropout in its head.
        tokenizer: of the model.
        examples: labelled texts.
        labels: of the model.
        config: names the weights of the labels, the seed and the threads.
    """
    runner = EngineRunner(model.distilbert, "fp32", config.threads or None)
    texts, pooling = of_kind(examples, TextExample), model.config.classifier_pooling
    head, scale, vectors = _fit(runner, tokenizer, texts, labels, config, pooling)
    arrays = head_arrays(head, scale, np.abs(vectors).max(axis=0))
    with torch.no_grad():
        for name, array in arrays.items():
            model.get_parameter(name).copy_(torch.from_numpy(array))


def measure_what_to_beat(
    tokenizer: Any,
    training: Sequence[Example],
    evaluation: Sequence[Example],
    labels: Labels,
    config: FinetuneConfig,
    with_vectors: bool,
) -> dict[str, dict[str, float]]:
    """Return the metrics of the baselines that know words alone, and of a linear model of the base model's vectors."""
    learned, held_out = of_kind(training, TextExample), of_kind(evaluation, TextExample)
    measured = measure_baselines(learned, held_out, labels)
    if with_vectors:
        runner = EngineRunner.from_folder(config.model, head="", precision="fp32", threads=config.threads or None)
        head, scale, _ = _fit(runner, tokenizer, learned, labels, config, "mean")
        vectors = text_vectors(held_out, runner, tokenizer, _longest(runner, config)) / np.float32(scale)
        measured[OURS] = dict(compute_metrics(TASK, held_out, list(to_predictions(head(vectors), labels)), labels))
    return measured


def _longest(runner: Runner, config: FinetuneConfig) -> int:
    return config.max_length or runner.config.max_position_embeddings


def _fit(
    runner: Runner,
    tokenizer: Any,
    examples: Sequence[TextExample],
    labels: Labels,
    config: FinetuneConfig,
    pooling: str,
) -> tuple[LinearHead, float, np.ndarray]:
    """Return the head, what the vectors were divided by, and these vectors (N, D)."""
    vectors, scale = to_unit_scale(text_vectors(examples, runner, tokenizer, _longest(runner, config), pooling))
    head = fit_linear_head(
        vectors,
        targets_of(examples, labels),
        labels.problem,
        len(labels.names),
        balanced=config.class_weights == "balanced",
        seed=config.seed,
    )
    return head, scale, vectors
