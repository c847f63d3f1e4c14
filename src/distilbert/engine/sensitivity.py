"""How much int8 in one matrix product alone moves a model's outputs.

Legend: R rows of an output, L labels, vocabulary or positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..core.runner_protocol import Batch
from .engine_runner import EngineRunner
from .model_weights import ModelWeights, weights_of
from .quantization import Quantization

SAMPLE_TOKENS = 8192  # that each product is tried on
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")

ProgressCallback = Callable[[str, int, int], None]  # what is being done, how much of it is done, and of how much


def rank_by_sensitivity(
    model: Any, quantization: Quantization, batches: Sequence[Batch], on_progress: ProgressCallback
) -> list[str]:
    """Return the names of a quantization's products, the most sensitive first.

    Each product is run in int8 alone, and its outputs are compared with those of the model in floats.
    """
    weights, sample = weights_of(model), _sample(batches)
    in_floats = EngineRunner(weights, "int8", quantization=quantization.without(*quantization.ranges))
    expected = [in_floats(batch) for batch in sample]
    probabilities = _is_classifier(weights)
    sensitivity: dict[str, float] = {}
    for number, (name, inputs) in enumerate(quantization.ranges.items()):
        on_progress("measuring the sensitivity of products", number, len(quantization.ranges))
        runner = EngineRunner(weights, "int8", quantization=Quantization({name: inputs}, quantization.float_precision))
        sensitivity[name] = sum(
            output_distance(outputs, runner(batch), probabilities)
            for outputs, batch in zip(expected, sample, strict=True)
        )
    return sorted(sensitivity, key=lambda name: -sensitivity[name])


def output_distance(expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray], probabilities: bool) -> float:
    """Return the distance between two outputs, summed over rows.

    Args:
        expected: (R, L) or (R,) arrays by name.
        actual: arrays of the same names and shapes.
        probabilities: the rows of ``"logits"`` are scores of labels that exclude each other. Then the distance is the
            Kullback-Leibler divergence of their softmax, else the squared difference.
    """
    if not probabilities:
        return float(sum(np.square(expected[name] - actual[name], dtype=np.float64).sum() for name in expected))
    log_expected, log_actual = (_log_softmax(outputs["logits"]) for outputs in (expected, actual))
    return float((np.exp(log_expected) * (log_expected - log_actual)).sum())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _is_classifier(weights: ModelWeights) -> bool:
    """Say whether each row of the outputs chooses one of several labels."""
    config, name = weights.config, weights.head.name
    excluded = name == "ForSequenceClassification" and (
        config.num_labels == 1 or config.problem_type in ("regression", "multi_label_classification")
    )
    return name in CLASSIFIERS and not excluded


def _sample(batches: Sequence[Batch]) -> list[Batch]:
    """Return every n-th batch, so that all lengths are among them: batches come sorted by length."""
    tokens = sum(len(batch.input_ids) for batch in batches)
    return list(batches[:: max(1, round(tokens / SAMPLE_TOKENS))])
