"""What words alone are worth: the most frequent label, and a linear model of TF-IDF. A model should beat both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.examples import MULTI, REGRESSION, Labels, TextExample
from ...data.labels import target_of
from ..evaluation.task_metrics import compute_metrics

TASK = "text-classification"
MAJORITY, TFIDF = "most frequent label", "TF-IDF with a linear model"
CONSTANT_NUMBER = "mean of the labels"
MOST_WORDS = 50_000


def targets_of(examples: Sequence[TextExample], labels: Labels) -> np.ndarray:
    """Return the labels of examples as arrays, one after the other: (N,) or (N, L)."""
    return np.stack([target for target in (target_of(example, labels) for example in examples) if target is not None])


def text_of(example: TextExample) -> str:
    """Return the words of an example, those of a pair together."""
    return example.text if example.text_pair is None else f"{example.text}\n{example.text_pair}"


def measure_baselines(
    training: Sequence[TextExample], held_out: Sequence[TextExample], labels: Labels
) -> dict[str, dict[str, float]]:
    """Return the metrics of each baseline, learned from ``training`` and measured on ``held_out``."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    targets = targets_of(training, labels)
    size = len(labels.names)
    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_WORDS, token_pattern=r"(?u)\b\w+\b"
    )
    if labels.problem == REGRESSION:
        constant = np.full((len(held_out), 1), targets.mean(), np.float32)
        learner: Any = Ridge()
    else:
        frequencies = (
            targets.mean(axis=0) if labels.problem == MULTI else np.bincount(targets, minlength=size) / len(targets)
        )
        constant = np.broadcast_to(frequencies.astype(np.float32), (len(held_out), size))
        learner = LogisticRegression(C=10, max_iter=300, tol=1e-3)
        if labels.problem == MULTI:
            learner = OneVsRestClassifier(learner)
    predicted = {CONSTANT_NUMBER if labels.problem == REGRESSION else MAJORITY: constant}
    try:
        model = make_pipeline(words, learner).fit([text_of(example) for example in training], targets)
        texts = [text_of(example) for example in held_out]
        if labels.problem == REGRESSION:
            predicted[TFIDF] = np.reshape(model.predict(texts), (-1, 1)).astype(np.float32)
        elif labels.problem == MULTI:
            predicted[TFIDF] = model.predict_proba(texts).astype(np.float32)
        else:
            scores = np.zeros((len(texts), size), np.float32)
            scores[:, model.classes_] = model.predict_proba(texts)
            predicted[TFIDF] = scores
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
    return {name: dict(compute_metrics(TASK, held_out, list(scores), labels)) for name, scores in predicted.items()}
