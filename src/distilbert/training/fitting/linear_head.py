"""Linear classifiers and regressions of vectors. Legend: N texts, D numbers of a vector, L labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from ...data.examples import MULTI, REGRESSION, SINGLE
from ...tasks.pooling import normalize

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)  # of ``C``, which are tried where none is stated
USUAL_STRENGTH = 10.0  # where there are too few examples to try
FOLDS = 5
MANY = 4000  # examples above which one split decides, of so many on each side: C holds for any number of examples
CERTAIN = 10.0  # score of a label that all examples have
TOLERANCE, ITERATIONS = 1e-4, 500


@dataclass(frozen=True)
class LinearHead:
    """Scores of vectors: ``x @ weight.T + bias``.

    Attributes:
        weight: (L, D) fp32.
        bias: (L,) fp32.
        strength: inverse strength of the regularization that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Return the scores of vectors (N, D) -> (N, L)."""
        scores: np.ndarray = vectors @ self.weight.T + self.bias
        return scores


def fit_linear_head(
    vectors: np.ndarray, targets: np.ndarray, problem: str, outputs: int, *, balanced: bool = False, seed: int = 0
) -> LinearHead:
    """Fit a logistic regression, one for each label of several, or a ridge regression.

    For labels, vectors are scaled to length 1 while they are learned from, so that all count alike; with few examples
    that is worth a quarter of a point.

    Args:
        vectors: (N, D) of a length of about 1 each; the strengths that are tried are for these.
        targets: (N,) numbers of the labels; (N, L) of 0 and 1 for several; (N,) numbers to regress on.
        problem: ``SINGLE``, ``MULTI`` or ``REGRESSION``.
        outputs: L.
        balanced: weight each label by the inverse of its frequency.
        seed: of the splits that choose the strength.
    """
    with threadpool_limits(1):  # threads of BLAS would wait for each other beside other work
        return _fit(vectors, targets, problem, outputs, "balanced" if balanced else None, seed)


def _fit(
    vectors: np.ndarray, targets: np.ndarray, problem: str, outputs: int, weights: str | None, seed: int
) -> LinearHead:
    if problem == REGRESSION:
        ridge = RidgeCV(alphas=[1 / strength for strength in STRENGTHS]).fit(vectors, targets)
        weight, bias = np.reshape(ridge.coef_, (1, -1)), np.reshape(ridge.intercept_, (1,))
        return LinearHead(_fp32(weight), _fp32(bias), float(1 / ridge.alpha_))
    vectors = normalize(vectors)
    if problem == SINGLE:
        model = fit_logistic_regression(vectors, targets, class_weight=weights, seed=seed)
        return LinearHead(*_scores_of(model, outputs), float(model.C))
    assert problem == MULTI
    frequent = int(np.argmin(np.abs(targets.mean(axis=0) - 0.5)))  # the label that says most about the strength
    strength = choose_strength(vectors, targets[:, frequent], weights, seed)
    columns = [_one_label(vectors, targets[:, label], strength, weights) for label in range(outputs)]
    return LinearHead(
        _fp32(np.stack([weight for weight, _ in columns])), _fp32([bias for _, bias in columns]), strength
    )


def fit_logistic_regression(
    vectors: np.ndarray,
    labels: np.ndarray,
    *,
    strength: float | None = None,
    class_weight: str | Mapping[Any, float] | None = None,
    seed: int = 0,
) -> LogisticRegression:
    """Fit a logistic regression; without a strength, the one that :func:`choose_strength` returns."""
    if strength is None:
        strength = choose_strength(vectors, labels, class_weight, seed)
    return _logistic_regression(strength, class_weight).fit(vectors, labels)


def choose_strength(
    vectors: np.ndarray, labels: np.ndarray, class_weight: str | Mapping[Any, float] | None = None, seed: int = 0
) -> float:
    """Return the best of ``STRENGTHS``: by cross-validation, or by one split where there are many examples."""
    _, counts = np.unique(labels, return_counts=True)
    if len(counts) < 2 or counts.min() < 2:
        return USUAL_STRENGTH
    if len(labels) > MANY:
        splits: Any = [split_once(labels, seed)]
    else:
        folds = StratifiedKFold(min(FOLDS, int(counts.min())), shuffle=True, random_state=seed)
        splits = folds.split(vectors, labels)
    losses = np.zeros(len(STRENGTHS))
    for train, test in splits:
        model = _logistic_regression(STRENGTHS[0], class_weight).set_params(warm_start=True)
        for number, strength in enumerate(STRENGTHS):  # each begins where the one before ended
            model.set_params(C=strength).fit(vectors[train], labels[train])
            losses[number] += log_loss(labels[test], model.predict_proba(vectors[test]), labels=model.classes_)
    return STRENGTHS[int(losses.argmin())]


def split_once(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which examples to learn from and which to test on, as numbers: about four fifths and one, or ``MANY``.

    The first part has an example of each label, however rare, so that the model can score all of the second.

    Args:
        labels: (N,), each of them twice at least.
        seed: of the order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    learned = np.arange(len(labels)) < min(MANY, len(labels) * (FOLDS - 1) // FOLDS)
    learned[np.unique(labels[order], return_index=True)[1]] = True  # the first example of each label
    return order[learned], order[~learned][:MANY]


def _logistic_regression(strength: float, class_weight: str | Mapping[Any, float] | None) -> LogisticRegression:
    return LogisticRegression(C=strength, class_weight=class_weight, max_iter=ITERATIONS, tol=TOLERANCE)


def _scores_of(model: LogisticRegression, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (L, D) and bias (L,); scikit-learn keeps one row for two labels."""
    weight, bias = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    if len(weight) == outputs:
        return _fp32(weight), _fp32(bias)
    every_weight = np.zeros((outputs, weight.shape[1]), np.float32)  # labels that no example has
    every_bias = np.full(outputs, -CERTAIN, np.float32)
    every_weight[model.classes_], every_bias[model.classes_] = weight, bias
    return every_weight, every_bias


def _one_label(
    vectors: np.ndarray, has_label: np.ndarray, strength: float, class_weight: str | None
) -> tuple[np.ndarray, float]:
    if has_label.min() == has_label.max():
        return np.zeros(vectors.shape[1]), CERTAIN if has_label[0] else -CERTAIN
    model = _logistic_regression(strength, class_weight).fit(vectors, has_label)
    return model.coef_[0], float(model.intercept_[0])


def _fp32(array: Any) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
