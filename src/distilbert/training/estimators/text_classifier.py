"""``DistilBertClassifier``: texts to labels, as a classifier of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from ...core.errors import InputError
from ...data.examples import SINGLE
from ...tasks.checks import check_choice
from ...tasks.loading import pipeline
from ..fitting.linear_head import fit_logistic_regression
from .estimator_inputs import to_labels, to_texts
from .model_files import ModelOrHead, StoredModel
from .text_vectorizer import encoder_of

METHODS = ("fit", "finetune")


class DistilBertClassifier(ModelOrHead, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Texts -> labels, for pipelines and searches of scikit-learn.

    ``method="fit"`` encodes the texts with a model that stays as it is, and fits a logistic regression on the vectors:
    seconds, and the better choice for a few thousand texts. ``method="finetune"`` trains the whole model with
    :func:`~distilbert.finetune` (extra ``train``).

    Args:
        model: folder or name of a model; with ``"fit"`` also an :class:`~distilbert.Encoder`. Empty: the default model
            of sentence-similarity.
        method: ``"fit"`` or ``"finetune"``.
        C: with ``"fit"``: inverse strength of the regularization; None: the best of five by cross-validation.
        class_weight: with ``"fit"``: ``"balanced"``, weights by label, or None.
        pooling: with ``"fit"``: see :class:`DistilBertVectorizer`.
        precision: that the model answers in.
        threads: on a CPU.
        finetune_options: with ``"finetune"``: settings of :class:`~distilbert.FinetuneConfig`, such as ``{"epochs":
            1}``. Rows of ``eval_data`` have a ``text`` and a ``label``, one of those in ``y``.
        random_state: seed of the cross-validation, or of fine-tuning.

    Attributes:
        classes_: the labels, sorted.
        head_: the logistic regression, with ``"fit"``.
        C_: the strength that was used, with ``"fit"``.
    """

    pipeline_name = "_classify"

    def __init__(
        self,
        model: Any = "",
        *,
        method: str = "fit",
        C: float | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        pooling: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
        finetune_options: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.method = method
        self.C = C
        self.class_weight = class_weight
        self.pooling = pooling
        self.precision = precision
        self.threads = threads
        self.finetune_options = finetune_options
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the labels of texts.

        Args:
            X: texts, see :class:`DistilBertVectorizer`.
            y: a label for each: texts or numbers.

        Raises:
            InputError: a text is empty, the lengths differ, there is only one label, or ``finetune_options`` has a
                setting that follows from ``X`` and ``y``.
        """
        check_choice(self.method, METHODS, "method")
        texts = to_texts(X)
        labels = to_labels(y, len(texts))
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y has one class only, {self.classes_.tolist()}: a classifier needs at least two.")
        self._forget_pipeline()
        if self.method == "finetune":
            self.model_ = self._finetuned(texts, numbers)
        else:
            self.head_ = fit_logistic_regression(
                encoder_of(self)(texts), labels, strength=self.C, class_weight=self.class_weight, seed=self.random_state
            )
            self.C_ = float(self.head_.C)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each text, (N,)."""
        best = self.predict_proba(X).argmax(axis=1)  # (N,)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each label in ``classes_`` for each text, (N, L).

        Raises:
            NotFittedError: nothing was learned yet.
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit(texts, labels) first.")
        texts = to_texts(X)
        if not texts:
            return np.empty((0, len(self.classes_)))
        if self.method == "fit":
            return np.asarray(self.head_.predict_proba(encoder_of(self)(texts)))
        names = list(self._classify.config.id2label.values())  # in the order of classes_
        scores = [{item["label"]: item["score"] for item in answer} for answer in self._classify(texts)]
        return np.array([[each[name] for name in names] for each in scores])

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of :meth:`predict_proba`."""
        return np.asarray(np.log(self.predict_proba(X)))

    @cached_property
    def _classify(self) -> Any:
        return pipeline(
            "text-classification", self.model_.folder, top_k=None, precision=self.precision, threads=self.threads
        )

    def _finetuned(self, texts: list[str], numbers: np.ndarray) -> StoredModel:
        names = [str(label) for label in self.classes_.tolist()]
        rows = [{"text": text, "label": names[number]} for text, number in zip(texts, numbers, strict=True)]
        return self._finetune("text-classification", rows, problem=SINGLE, label_names=names)
