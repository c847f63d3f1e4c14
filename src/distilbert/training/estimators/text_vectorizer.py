"""``DistilBertVectorizer``: texts to vectors, as a transformer of scikit-learn."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ...embedding.index_encoder import TextEncoder, open_encoder
from .estimator_inputs import file_versions, named_or_default, to_texts


class DistilBertVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts -> their vectors, (N, D) float32, for pipelines of scikit-learn.

    It learns nothing: ``transform`` works without ``fit``. A model is loaded once for all estimators of a process, and
    again after its files have changed. A pickle does not hold the model, it names it.

    Args:
        model: folder or name of a model, an :class:`~distilbert.Encoder`, or another object with ``encode(texts)``;
            empty: the default model of sentence-similarity.
        pooling: makes one vector of a text; ``"auto"``: what the model's folder says, else the mean.
        precision: that the model computes in; None: the fastest that is as good.
        threads: on a CPU; None: all cores.
    """

    def __init__(
        self,
        model: Any = "",
        *,
        pooling: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.precision = precision
        self.threads = threads

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the texts; nothing is learned."""
        to_texts(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the vectors of texts, (N, D), of length 1.

        Raises:
            InputError: a text is empty or no text.
        """
        texts = to_texts(X)
        encoder = encoder_of(self)
        if not texts:
            return np.empty((0, encoder(["a"]).shape[1]), dtype=np.float32)
        return np.asarray(encoder(texts), dtype=np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each number of a vector: ``distilbert0``, ``distilbert1``, ..."""
        return np.array([f"distilbert{place}" for place in range(self.transform(["a"]).shape[1])], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = tags_for_texts(super().__sklearn_tags__(), requires_fit=False)
        tags.transformer_tags.preserves_dtype = []
        return tags


def tags_for_texts(tags: Any, requires_fit: bool = True) -> Any:
    """Return what scikit-learn should know of an estimator: that it takes texts."""
    tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    tags.no_validation = True
    tags.requires_fit = requires_fit
    return tags


def encoder_of(estimator: Any) -> TextEncoder:
    """Return the encoder that the parameters of an estimator name."""
    options = {name: getattr(estimator, name) for name in ("precision", "threads")}
    options = {name: value for name, value in options.items() if value is not None}
    model = named_or_default(estimator.model)
    if isinstance(model, str | os.PathLike):
        name = os.fspath(model)
        return _encoder(name, estimator.pooling, tuple(options.items()), file_versions(name))
    return open_encoder(model)


@lru_cache(maxsize=2)
def _encoder(model: str, pooling: str, options: tuple[tuple[str, Any], ...], versions: Any) -> TextEncoder:
    return open_encoder(model, pooling, **dict(options))
