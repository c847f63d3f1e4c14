"""Metrics of predictions as a flat table of numbers, cheap enough for use while training.

scikit-learn and seqeval compute what they have. Legend: N examples, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.errors import DataError, InputError, suggest
from ...core.extras import require
from ...data.examples import FINETUNE_TASKS, MULTI, REGRESSION, Example, Labels, TextExample
from . import truth
from .entities import with_prefix
from .squad import match

Figures = dict[str, float]
THRESHOLD = 0.5  # from which on a label of a multi-label model counts as given
LOWER_IS_BETTER = ("log_loss", "mse", "perplexity")


def figures(task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    """Compare predictions with what is right.

    Args:
        task_name: one of ``FINETUNE_TASKS``.
        examples: labelled ones.
        predictions: one for each, as :func:`~.predictions.predict` returns them.
        labels: of the model that made them.

    Returns:
        Metrics by name: shares from 0 to 1; ``exact_match`` and ``f1`` of question-answering in per cent. What is not
        defined (a precision of nothing, a correlation with a constant) is 0.

    Raises:
        DataError: there are no examples, one has no label, or one that the model does not have.
        InputError: there is no such task, or a prediction is not a number.
    """
    if not examples:
        raise DataError("There are no examples to evaluate.")
    if len(examples) != len(predictions):
        raise InputError(f"{len(examples)} examples need as many predictions, got {len(predictions)}.")
    for example, prediction in zip(examples, predictions, strict=True):
        if isinstance(prediction, np.ndarray) and not np.isfinite(prediction).all():
            raise InputError(f"The model's scores for {example.place} are not finite: are its weights damaged?")
    return _computing(task_name, labels)(examples, predictions, labels)


def main_metric(task_name: str, labels: Labels) -> tuple[str, bool]:
    """Return the metric by which models are compared, and whether more of it is better."""
    if task_name == "text-classification":
        name = {MULTI: "f1_micro", REGRESSION: "spearman"}.get(labels.problem, "accuracy")
    else:
        name = {"multiple-choice": "accuracy", "fill-mask": "perplexity"}.get(task_name, "f1")
    return name, is_better_high(name)


def is_better_high(name: str) -> bool:
    """Return whether more of a metric is better."""
    return name not in LOWER_IS_BETTER


def _computing(task_name: str, labels: Labels) -> Callable[[Sequence[Example], Sequence[Any], Labels], Figures]:
    if task_name == "text-classification":
        return {MULTI: _multi_label, REGRESSION: _regression}.get(labels.problem, _single_label)
    by_task = {
        "token-classification": _tagging,
        "question-answering": _questions,
        "multiple-choice": _choice,
        "fill-mask": _masks,
    }
    if task_name not in by_task:
        near = suggest(task_name, FINETUNE_TASKS)
        raise InputError(f"The task {task_name!r} cannot be evaluated.{near} Tasks are: {', '.join(FINETUNE_TASKS)}.")
    return by_task[task_name]


def _single_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    metrics = require("sklearn.metrics", "train")
    expected, scores = truth.classes(examples, labels), np.stack(predictions).astype(np.float64)  # (N,), (N, L)
    got = scores.argmax(axis=1)  # (N,)
    found = {
        "accuracy": metrics.accuracy_score(expected, got),
        "f1_macro": metrics.f1_score(expected, got, average="macro", zero_division=0),
        # Of one label alone there is no correlation, and scikit-learn warns.
        "matthews": metrics.matthews_corrcoef(expected, got) if np.ptp([*expected, *got]) else 0.0,
    }
    if len(labels.names) == 2:
        found["f1"] = metrics.f1_score(expected, got, pos_label=1, average="binary", zero_division=0)
    if len(labels.names) > 1:
        found["log_loss"] = metrics.log_loss(
            expected, scores / scores.sum(axis=1, keepdims=True), labels=range(len(labels.names))
        )
    return _plain(found)


def _multi_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    metrics = require("sklearn.metrics", "train")
    expected, got = truth.class_sets(examples, labels), np.stack(predictions) >= THRESHOLD  # (N, L)
    return _plain(
        {
            "f1_micro": metrics.f1_score(expected, got, average="micro", zero_division=0),
            "f1_macro": metrics.f1_score(expected, got, average="macro", zero_division=0),
            "subset_accuracy": (expected == got).all(axis=1).mean(),
        }
    )


def _regression(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    metrics = require("sklearn.metrics", "train")
    expected, got = truth.numbers(examples, labels), np.stack(predictions)[:, 0].astype(np.float64)  # (N,)
    return _plain(
        {
            "pearson": correlation(expected, got),
            "spearman": correlation(ranks(expected), ranks(got)),
            "mse": metrics.mean_squared_error(expected, got),
        }
    )


def _tagging(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    seqeval = require("seqeval.metrics.sequence_labeling", "train")
    expected = [[with_prefix(tag) for tag in tags] for tags in truth.tags(examples, labels)]
    got = [[with_prefix(tag) for tag in tags] for tags in predictions]
    precision, recall, f1, _ = seqeval.precision_recall_fscore_support(expected, got, average="micro", zero_division=0)
    return _plain(
        {"precision": precision, "recall": recall, "f1": f1, "token_accuracy": seqeval.accuracy_score(expected, got)}
    )


def _questions(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    answers = truth.answers(examples)
    matches = [match(got["text"], texts) for got, texts in zip(predictions, answers, strict=True)]
    exact, f1 = np.array([m.exact for m in matches]), np.array([m.f1 for m in matches])  # (N,)
    there = np.array([bool(texts) for texts in answers])  # (N,)
    found = {"exact_match": exact.mean(), "f1": f1.mean()}
    if not there.all():
        for name, part in (("has_answer", there), ("no_answer", ~there)):
            if part.any():
                found |= {f"{name}_exact_match": exact[part].mean(), f"{name}_f1": f1[part].mean()}
    return _plain({name: 100 * value for name, value in found.items()})


def _choice(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    got = np.array([int(scores.argmax()) for scores in predictions])
    return {"accuracy": float((truth.choices(examples) == got).mean())}


def _masks(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Figures:
    truth.only(examples, TextExample)
    likelihood, right, masked = np.array(predictions, np.float64).sum(axis=0)
    if math.isnan(likelihood):
        raise InputError("The model's scores for the masked tokens are not finite: are its weights damaged?")
    if not masked:
        raise DataError("The texts have no token to mask.")
    return {"perplexity": math.exp(min(-likelihood / masked, 700.0)), "accuracy": float(right / masked)}


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation of two (N,) arrays; 0 where one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / norm, -1, 1)) if norm > 0 else 0.0


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each of (N,) values, from 1; equal ones share the mean of theirs."""
    made: np.ndarray = require("scipy.stats", "train").rankdata(values)
    return made


def _plain(found: dict[str, Any]) -> Figures:
    return {name: float(value) for name, value in found.items()}
