"""Evaluation of fill-mask: perplexity and accuracy on masked tokens.

The masks of a text depend only on its index and its length, so two models with the same tokenizer guess the same
tokens. A prediction is the sum of the log-probabilities of the masked tokens of a text, how many of them were guessed
right, and how many there are.

Legend: S tokens of a text, M masked tokens, V vocabulary, R resamples, N texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.errors import DataError, InputError
from ...core.model_checks import IGNORED
from ...data.examples import Example, Labels, TextExample
from ...tasks import Task
from ...tasks.batching import EncodedInput, run_encoded
from ...tasks.windows import add_special
from ...text.truncation import window_spans
from ..corpus.masking import mask_tokens
from ..reports.number_format import number
from .bootstrap import ResampledMetrics
from .error_entries import ErrorEntry, asked_texts
from .task_evaluation import (
    ExampleResult,
    Metrics,
    Predict,
    Severity,
    TaskEvaluation,
    example_result,
    of_kind,
    ratio,
)

MASK_SEED = 0
LARGEST_LOSS = 700.0  # exp() of more overflows


def _predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    weights = np.ones(task.config.vocab_size)  # of the tokens, in the choice of masks
    tokenizer = task.tokenizer
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id]
    weights[[token for token in special if token is not None]] = 0

    def predict(some: Sequence[Example], first: int) -> list[Any]:
        texts = tokenizer.encode_ids([example.text for example in of_kind(some, TextExample)], None, False)
        encoded, text_indices = [], []
        for index, ids in enumerate(texts):
            if windows := _masked_windows(task, ids, weights, first + index):
                encoded.append(windows)
                text_indices.append(index)
        predictions = [(0.0, 0, 0)] * len(texts)
        for index, outputs in run_encoded(encoded, task.runner, task.batch_tokens, task.batch_size):
            logits = np.concatenate([output["logits"] for output in outputs]).astype(np.float64)  # (M, V)
            original = encoded[index].metadata  # (M,) ids
            shifted = logits - logits.max(axis=1, keepdims=True)
            log_probabilities = shifted[np.arange(len(original)), original] - np.log(np.exp(shifted).sum(axis=1))
            right = int((logits.argmax(axis=1) == original).sum())
            predictions[text_indices[index]] = float(log_probabilities.sum()), right, len(original)
        return predictions

    return predict


def _masked_windows(task: Task[Any], ids: list[int], weights: np.ndarray, index: int) -> EncodedInput | None:
    """Mask 15 % of a text and cut it into windows side by side; None if it has no token to mask."""
    if not ids:
        return None
    row = np.array([ids], np.int64)  # (1, S)
    masked = mask_tokens(
        row, weights, seed=MASK_SEED, first=index, mask_token_id=task.tokenizer.mask_token_id or 0,
        vocab_size=len(weights), split=(1.0, 0.0, 0.0),
    )  # fmt: skip
    sequences, positions, originals = [], [], []
    for start, stop in window_spans(len(ids), task.max_tokens - 2, 0):
        labels = masked.labels[0, start:stop]
        hidden = np.flatnonzero(labels != IGNORED)
        if len(hidden):
            sequences.append(add_special(task.tokenizer, masked.input_ids[0, start:stop].tolist()))
            positions.append((hidden + 1).tolist())  # [CLS] stands before
            originals.append(labels[hidden])
    return EncodedInput(sequences, np.concatenate(originals), positions) if sequences else None


def _metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    of_kind(examples, TextExample)
    log_probability, right, masked = np.array(predictions, np.float64).sum(axis=0)
    if math.isnan(log_probability):
        raise InputError("The model's scores for the masked tokens are not finite: are its weights damaged?")
    if not masked:
        raise DataError("The texts have no token to mask.")
    perplexity = math.exp(min(-log_probability / masked, LARGEST_LOSS))
    return {"perplexity": perplexity, "accuracy": float(right / masked)}


def _resampled_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    texts = np.array(predictions, np.float64)  # (N, 3)

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        log_probability, right, masked = (counts @ texts).T  # (R,) each
        perplexity = np.exp(np.minimum(-ratio(log_probability, masked), LARGEST_LOSS))
        return {"perplexity": perplexity, "accuracy": ratio(right, masked)}

    return compute


def _breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    return {}


def _example_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for log_probability, right, masked in predictions:
        loss = -log_probability / max(masked, 1)
        perplexity = math.exp(min(loss, LARGEST_LOSS))
        result = example_result(f"{masked} masked tokens", f"{right} of them right", perplexity, None)
        results.append((result, (loss,)))
    return results


def _error_entry(result: ExampleResult) -> ErrorEntry:
    return ErrorEntry(
        result["place"],
        asked=asked_texts(result, "text", "text_pair"),
        expected=result["expected"],
        got=result["got"],
        score=number(result["score"]),
        is_count=True,
    )


MASKING_EVALUATION = TaskEvaluation(
    _predictor, _metrics, _resampled_metrics, _breakdown, _example_results,
    compared_answers=None, count_changes=None,
    error_entry=_error_entry, error_order="the highest perplexity first",
)  # fmt: skip
