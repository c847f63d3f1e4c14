"""Metrics of many resamples at once: the fast twin of ``metrics.figures``, for intervals.

A resample is how often each example was drawn. Nearly all metrics are functions of sums over examples, so those of R
resamples are one matrix product. Legend: R resamples, N examples, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...data.examples import MULTI, REGRESSION, Example, Labels
from . import truth
from .entities import count_types
from .metrics import THRESHOLD, correlation, ranks
from .squad import match

Weighted = Callable[[np.ndarray], dict[str, np.ndarray]]  # (R, N) counts -> (R,) of each metric


def weighted(task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    """Return a function from (R, N) float64 counts to the metrics of ``figures``, (R,) each.

    ``log_loss`` and ``perplexity`` included; the arguments are those of :func:`~.metrics.figures`, already checked.
    """
    if task_name == "text-classification":
        prepare = {MULTI: _multi_label, REGRESSION: _regression}.get(labels.problem, _single_label)
    else:
        prepare = {
            "token-classification": _tagging,
            "question-answering": _questions,
            "multiple-choice": _choice,
            "fill-mask": _masks,
        }[task_name]
    return prepare(examples, predictions, labels)


def _single_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    count = len(labels.names)
    expected, scores = truth.classes(examples, labels), np.stack(predictions).astype(np.float64)  # (N,), (N, L)
    got = scores.argmax(axis=1)
    there, found = np.eye(count)[expected], np.eye(count)[got]  # (N, L)
    own = np.take_along_axis(scores / scores.sum(axis=1, keepdims=True), expected[:, None], 1)[:, 0]
    loss = -np.log(np.clip(own, np.finfo(np.float64).eps, 1))  # (N,), clipped as scikit-learn does

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)
        right, t, f = (weights @ part for part in (there * found, there, found))  # (R, L)
        by_class = _f1(right, f, t)
        # Matthews' coefficient of L classes: Gorodkin 2004, from the same sums.
        covariance = right.sum(axis=1) * total - (t * f).sum(axis=1)
        spread = (total**2 - (t**2).sum(axis=1)) * (total**2 - (f**2).sum(axis=1))
        made = {
            "accuracy": right.sum(axis=1) / total,
            "f1_macro": _ratio(by_class.sum(axis=1), ((t + f) > 0).sum(axis=1)),
            "matthews": _ratio(covariance, np.sqrt(spread)),
        }
        if count == 2:
            made["f1"] = by_class[:, 1]
        if count > 1:
            made["log_loss"] = weights @ loss / total
        return made

    return compute


def _multi_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    there, found = truth.class_sets(examples, labels), np.stack(predictions) >= THRESHOLD  # (N, L)
    exact = (there == found).all(axis=1).astype(np.float64)  # (N,)
    parts = [part.astype(np.float64) for part in (there & found, found, there)]

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = [weights @ part for part in parts]  # (R, L)
        return {
            "f1_micro": _f1(*(part.sum(axis=1) for part in sums)),
            "f1_macro": _f1(*sums).mean(axis=1),
            "subset_accuracy": weights @ exact / weights.sum(axis=1),
        }

    return compute


def _regression(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    expected, got = truth.numbers(examples, labels), np.stack(predictions)[:, 0].astype(np.float64)  # (N,)
    squared = (expected - got) ** 2

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        pearson, spearman = [], []
        for row in weights:  # ranks are no function of sums
            drawn = np.repeat(np.arange(len(row)), row.astype(np.int64))
            x, y = expected[drawn], got[drawn]
            pearson.append(correlation(x, y))
            spearman.append(correlation(ranks(x), ranks(y)))
        mse = weights @ squared / weights.sum(axis=1)
        return {"pearson": np.array(pearson), "spearman": np.array(spearman), "mse": mse}

    return compute


def _tagging(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    rows = []
    for expected, got in zip(truth.tags(examples, labels), predictions, strict=True):
        counts = list(count_types(expected, got).values())
        entities = [sum(getattr(one, name) for one in counts) for name in ("right", "found", "there")]
        rows.append([*entities, sum(a == b for a, b in zip(expected, got, strict=True)), len(expected)])
    sentences = np.array(rows, np.float64)  # (N, 5)

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        right, found, there, words, total = (weights @ sentences).T  # (R,) each
        return {
            "precision": _ratio(right, found),
            "recall": _ratio(right, there),
            "f1": _f1(right, found, there),
            "token_accuracy": _ratio(words, total),
        }

    return compute


def _questions(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    answers = truth.answers(examples)
    matches = [match(got["text"], texts) for got, texts in zip(predictions, answers, strict=True)]
    values = 100 * np.array([[m.exact, m.f1] for m in matches])  # (N, 2)
    there = np.array([bool(texts) for texts in answers], np.float64)  # (N,)
    parts = {"": np.ones(len(there))}
    if 0 < there.sum() < len(there):
        parts |= {"has_answer_": there, "no_answer_": 1 - there}
    elif not there.any():
        parts["no_answer_"] = 1 - there

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        made = {}
        for prefix, part in parts.items():
            sums, total = weights @ (values * part[:, None]), weights @ part  # (R, 2), (R,)
            for column, name in enumerate(("exact_match", "f1")):
                made[prefix + name] = _ratio(sums[:, column], total)
        return made

    return compute


def _choice(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    got = np.array([int(scores.argmax()) for scores in predictions])
    right = (truth.choices(examples) == got).astype(np.float64)  # (N,)
    return lambda weights: {"accuracy": weights @ right / weights.sum(axis=1)}


def _masks(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Weighted:
    rows = np.array(predictions, np.float64)  # (N, 3)

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        likelihood, right, masked = (weights @ rows).T
        perplexity = np.exp(np.minimum(-_ratio(likelihood, masked), 700.0))
        return {"perplexity": perplexity, "accuracy": _ratio(right, masked)}

    return compute


def _f1(right: np.ndarray, found: np.ndarray, there: np.ndarray) -> np.ndarray:
    return _ratio(2 * right, found + there)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divide; what is divided by 0 becomes 0."""
    made: np.ndarray = np.divide(above, below, out=np.zeros_like(above, np.float64), where=below > 0)
    return made
