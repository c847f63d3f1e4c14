"""Which products of a model int8 hurts most. Legend: R rows of an output, L labels, vocabulary or positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..core.runner_protocol import Batch
from .model import PytorchModel
from .quantization import Quantization
from .runner import EngineRunner

RANKING_TOKENS = 8192  # that each product is tried on alone
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM")

Progress = Callable[[str, int, int], None]  # what is done, how much of it, and of how much


def rank(model: PytorchModel, everything: Quantization, batches: Sequence[Batch], say: Progress) -> list[str]:
    """Return the names of all products, the one that alone moves the model's outputs most first."""
    tried = _spread(batches)
    exact = EngineRunner(model, "int8", quantization=everything.without(*everything.scales))
    wanted = [exact(batch) for batch in tried]
    likely = _is_classifier(model)
    errors: dict[str, float] = {}
    for number, name in enumerate(everything.scales):
        say("looking for the products that hurt", number, len(everything.scales))
        alone = Quantization({name: everything.scales[name]}, everything.beside)
        runner = EngineRunner(model, "int8", quantization=alone)
        errors[name] = sum(distance(want, runner(batch), likely) for want, batch in zip(wanted, tried, strict=True))
    return sorted(errors, key=lambda name: -errors[name])


def distance(want: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], likely: bool) -> float:
    """Return how far outputs are from those that are wanted, summed over rows.

    Args:
        want: (R, L) or (R,) arrays by name.
        got: the same.
        likely: rows are logits of one choice: the Kullback-Leibler divergence of their softmax is taken, else the
            squared difference.
    """
    if not likely:
        return float(sum(np.square(want[name] - got[name], dtype=np.float64).sum() for name in want))
    before, after = (_log_softmax(outputs["logits"]) for outputs in (want, got))
    return float((np.exp(before) * (before - after)).sum())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _is_classifier(model: PytorchModel) -> bool:
    """Say whether each row of the outputs chooses one of several labels."""
    config, name = model.config, model.head_spec.name
    other = name == "ForSequenceClassification" and (
        config.num_labels == 1 or config.problem_type in ("regression", "multi_label_classification")
    )
    return name in CLASSIFIERS and not other


def _spread(batches: Sequence[Batch]) -> list[Batch]:
    """Return some of the batches, from all lengths: batches come sorted by it."""
    tokens = sum(len(batch.input_ids) for batch in batches)
    return list(batches[:: max(1, round(tokens / RANKING_TOKENS))])
