"""What estimators take: a model, and as ``X`` texts in any container, or sentences that are split into words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.content_hash import FileState, file_state, model_files
from ...core.errors import InputError
from ...tasks.checks import check_text
from ...tasks.columns import to_inputs
from ...tasks.loading import installed_or_downloaded_default


def named_or_default(model: Any) -> Any:
    """Return the model that an estimator names; where that is empty, the default one of sentence-similarity.

    Raises:
        InputError: there is no default one; the message says what to install.
    """
    return model if model != "" else installed_or_downloaded_default("sentence-similarity")[0]


def file_versions(model: str) -> tuple[tuple[Path, FileState | None], ...]:
    """Return each file of a model with its state; nothing if the model is not on this machine.

    A model that is kept in memory is kept under these: after its folder was trained anew, it is another model.
    """
    try:
        return tuple((path, file_state(path)) for path in model_files(model))
    except OSError:
        return ()


def to_texts(X: Any) -> list[str]:
    """Return texts as a list.

    Args:
        X: a list, a Series, an array of one dimension or of one column, a DataFrame of one column.

    Raises:
        InputError: one of them is empty or no text, or ``X`` is one text.
    """
    if isinstance(X, str):
        raise InputError("X is one text: give a list of texts.")
    columns = getattr(X, "columns", None)
    if columns is not None and not callable(columns):
        if len(columns) != 1:
            raise InputError(
                f"X is a {type(X).__name__} of {len(columns)} columns: give the one with the texts, such as by a "
                "ColumnTransformer."
            )
        X = X[next(iter(columns))]
    texts = to_inputs(X)
    return [check_text(text, f"X[{place}]") for place, text in enumerate(texts)]


def to_sentences(X: Any) -> list[list[str]]:
    """Return sentences as lists of words.

    Raises:
        InputError: one of them is no list of words, or has none.
    """
    sentences = []
    for place, sentence in enumerate(to_inputs(X)):
        if isinstance(sentence, str) or not hasattr(sentence, "__iter__"):
            raise InputError(f"X[{place}] must be a list of words, got {sentence!r:.80}.")
        words = [check_text(word, f"X[{place}][{number}]") for number, word in enumerate(sentence)]
        if not words:
            raise InputError(f"X[{place}] has no words.")
        sentences.append(words)
    return sentences


def to_labels(y: Any, count: int) -> np.ndarray:
    """Return labels as an array, (N,).

    Raises:
        InputError: there are more or fewer than texts, or they are no column.
    """
    if y is None:
        raise InputError("requires y to be passed, but the target y is None: give a label for each text.")
    shape = tuple(getattr(y, "shape", ()))
    if len(shape) > 1 and shape[1] != 1:
        raise InputError(f"y must be a column of labels, got an array of shape {shape}.")
    labels = np.asarray(to_inputs(y))
    if labels.ndim != 1:
        raise InputError(f"y must be a column of labels, got an array of shape {labels.shape}.")
    if len(labels) != count:
        raise InputError(f"There are {count:,} texts and {len(labels):,} labels: one for each is needed.")
    return labels
