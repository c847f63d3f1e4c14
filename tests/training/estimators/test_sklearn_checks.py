"""scikit-learn's own checks. They send numbers: subclasses write them as texts, and read them back as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_array

from distilbert import DistilBertClassifier, DistilBertVectorizer
from distilbert.training.estimators import text_classifier, text_vectorizer


def write_as_texts(X: Any) -> list[str]:
    return [" ".join(map(repr, row)) for row in check_array(X).astype(float).tolist()]


def read_as_vectors(texts: Sequence[str]) -> np.ndarray:
    return np.array([[float(number) for number in text.split()] for text in texts])


class NumberClassifier(DistilBertClassifier):
    def __init__(
        self, model: Any = read_as_vectors, *, method: str = "fit", C: float | None = 1.0, class_weight: Any = None,
        pooling: str = "auto", precision: str | None = None, threads: int | None = None, finetune_options: Any = None,
        random_state: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            model, method=method, C=C, class_weight=class_weight, pooling=pooling, precision=precision,
            threads=threads, finetune_options=finetune_options, random_state=random_state,
        )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class NumberVectorizer(DistilBertVectorizer):
    def __init__(
        self, model: Any = read_as_vectors, *, pooling: str = "auto", precision: str | None = None,
        threads: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(model, pooling=pooling, precision=precision, threads=threads)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


SKIPPED = {"check_array_api_input": "SCIPY_ARRAY_API is not set"}


@pytest.mark.filterwarnings("ignore")  # of what the checks send: labels that are numbers, few rows
@pytest.mark.parametrize("estimator", [NumberClassifier(), NumberVectorizer()], ids=lambda each: type(each).__name__)
def test_checks_of_scikit_learn(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text_classifier, text_vectorizer):
        monkeypatch.setattr(module, "to_texts", write_as_texts)
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    by_status: dict[str, dict[str, str]] = {}
    for result in results:
        by_status.setdefault(result["status"], {})[result["check_name"]] = str(result["exception"])
    assert set(by_status) <= {"passed", "skipped"}, by_status.get("failed")
    assert set(by_status.get("skipped", {})) <= set(SKIPPED)
    assert len(by_status["passed"]) > 30
