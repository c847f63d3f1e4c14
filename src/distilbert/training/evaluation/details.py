"""What one number hides: results by class and by entity type, the confusion matrix, calibration, scores.

All of it plain values for ``evaluation.json``. Legend: N examples, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.extras import require
from ...data.examples import MULTI, REGRESSION, Example, Labels
from . import truth
from .calibration import calibration
from .entities import add_types, count_types
from .metrics import THRESHOLD
from .squad import match

SCORE_BINS = 20
POINTS = 500  # of a regression's expected and predicted values, at most


def details(task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    """Return what there is to say beside the metrics; the arguments are those of ``figures``.

    Returns:
        Some of ``classes`` and ``types`` (precision, recall, F1 and support of each), ``confusion`` (L rows of what
        is right, L columns of what was predicted), ``calibration``, ``scores`` (a histogram of scores, of right and
        wrong predictions), ``points`` (expected and predicted value).
    """
    if task_name == "text-classification":
        if labels.problem == REGRESSION:
            return _regression(examples, predictions, labels)
        if labels.problem == MULTI:
            return _multi_label(examples, predictions, labels)
        return _single_label(examples, predictions, labels)
    if task_name == "token-classification":
        sentences = zip(truth.tags(examples, labels), predictions, strict=True)
        by_type = add_types([count_types(expected, got) for expected, got in sentences])
        return {
            "types": [
                {"name": kind, "precision": c.precision, "recall": c.recall, "f1": c.f1, "support": c.there}
                for kind, c in by_type.items()
            ]
        }
    if task_name == "multiple-choice":
        got = np.array([int(scores.argmax()) for scores in predictions])
        return _confidence(np.array([scores.max() for scores in predictions]), truth.choices(examples) == got)
    if task_name == "question-answering":
        pairs = zip(predictions, truth.answers(examples), strict=True)
        exact = np.array([match(got["text"], texts).exact for got, texts in pairs]) > 0
        return {"scores": histogram(np.array([got["score"] for got in predictions]), exact)}
    return {}


def _single_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    expected, scores = truth.classes(examples, labels), np.stack(predictions)  # (N,), (N, L)
    got, places = scores.argmax(axis=1), range(len(labels.names))
    matrix = require("sklearn.metrics", "train").confusion_matrix(expected, got, labels=places)  # (L, L)
    return {
        "classes": _by_class(expected, got, labels),
        "confusion": matrix.tolist(),
        **_confidence(scores.max(axis=1), expected == got),
    }


def _multi_label(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    expected, scores = truth.class_sets(examples, labels), np.stack(predictions)  # (N, L)
    got = scores >= THRESHOLD
    # Each label is a prediction of its own, as sure as the side on which its probability lies.
    sure = np.maximum(scores, 1 - scores)
    return {"classes": _by_class(expected, got, labels), **_confidence(sure.ravel(), (expected == got).ravel())}


def _regression(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    points = np.stack([truth.numbers(examples, labels), np.stack(predictions)[:, 0]], axis=1)  # (N, 2)
    picked = np.linspace(0, len(points) - 1, min(POINTS, len(points))).astype(np.int64)
    return {"points": points[picked].tolist()}


def _by_class(expected: np.ndarray, got: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    columns = require("sklearn.metrics", "train").precision_recall_fscore_support(
        expected, got, labels=range(len(labels.names)), zero_division=0
    )
    keys = ("precision", "recall", "f1", "support")
    return [
        {"name": name, **{key: column[place].item() for key, column in zip(keys, columns, strict=True)}}
        for place, name in enumerate(labels.names)
    ]


def _confidence(sure: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    return {"calibration": calibration(sure, right).to_dict(), "scores": histogram(sure, right)}


def histogram(scores: np.ndarray, right: np.ndarray) -> dict[str, list[int]]:
    """Count scores from 0 to 1 in bins of equal width, those of right and of wrong predictions apart."""
    places = np.clip((scores * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)
    return {
        name: np.bincount(places[part], minlength=SCORE_BINS).tolist()
        for name, part in (("right", right), ("wrong", ~right))
    }
