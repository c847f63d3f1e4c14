"""``DistilBertTagger``: a tag for each word, as an estimator of scikit-learn. Legend: W words, S tokens, D dim."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from ...core.errors import InputError
from ...tasks.base import Task
from ...tasks.batching import EncodedInput, run_encoded
from ...tasks.checks import check_choice
from ...tasks.columns import to_inputs
from ...tasks.loading import pipeline
from ...tasks.pooling import join_windows
from ...tasks.tagging_schemes import OUTSIDE
from ...tasks.windows import split_into_windows, stride_or_default
from ..evaluation.tagging_metrics import EntityCounts, count_entities
from .estimator_inputs import file_versions, named_or_default, to_sentences
from .model_files import ModelOrHead, StoredModel
from .text_classifier import METHODS

SENTENCES = 1024  # that are encoded at once


class DistilBertTagger(ModelOrHead, BaseEstimator):  # type: ignore[misc]
    """Sentences as lists of words -> lists of tags, for searches of scikit-learn.

    ``method="fit"`` fits a logistic regression on the vectors that a model gives each word, in seconds.
    ``method="finetune"`` trains the whole model with :func:`~distilbert.finetune` (extra ``train``).

    Args:
        model: folder or name of a model; empty: the default model of sentence-similarity.
        method: ``"fit"`` or ``"finetune"``.
        C: with ``"fit"``: inverse strength of the regularization.
        precision: that the model answers in.
        threads: on a CPU.
        finetune_options: with ``"finetune"``: settings of :class:`~distilbert.FinetuneConfig`. Rows of ``eval_data``
            have ``words`` and ``tags``.
        random_state: seed of fine-tuning.

    Attributes:
        classes_: the tags, sorted.
        head_: the logistic regression, with ``"fit"``.
    """

    pipeline_name = "_tag"

    def __init__(
        self,
        model: Any = "",
        *,
        method: str = "fit",
        C: float = 1.0,
        precision: str | None = None,
        threads: int | None = None,
        finetune_options: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.method = method
        self.C = C
        self.precision = precision
        self.threads = threads
        self.finetune_options = finetune_options
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the tags of words.

        Args:
            X: sentences, each a list of words.
            y: a list of tags for each sentence, one for each word: texts, or numbers.

        Raises:
            InputError: the lengths differ, there is only one tag, or ``finetune_options`` has a setting that follows
                from ``X`` and ``y``.
        """
        check_choice(self.method, METHODS, "method")
        sentences = to_sentences(X)
        tags = _checked_tags(y, sentences)
        flat = np.array([tag for each in tags for tag in each])
        self.classes_, numbers = np.unique(flat, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y has one class only, {self.classes_.tolist()}: a tagger needs at least two.")
        self._forget_pipeline()
        if self.method == "finetune":
            self.model_ = self._finetuned(sentences, numbers)
        else:
            vectors = np.concatenate(list(self._word_vectors(sentences)))
            self.head_ = LogisticRegression(C=self.C, max_iter=500).fit(vectors, flat)
        return self

    def predict(self, X: Any) -> list[list[Any]]:
        """Return a list of tags for each sentence.

        A word of which a fine-tuned model's tokenizer leaves nothing has the tag ``O``, or the first of ``classes_``.

        Raises:
            NotFittedError: nothing was learned yet.
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit(sentences, tags) first.")
        sentences = to_sentences(X)
        if self.method == "fit":
            return [self.head_.predict(vectors).tolist() for vectors in self._word_vectors(sentences)]
        answers = self._tag([{"words": words} for words in sentences])
        tags = dict(zip(self._names(), self.classes_.tolist(), strict=True))
        outside = OUTSIDE if OUTSIDE in tags else next(iter(tags))
        return [  # a model that tagged before may answer in a scheme of its own
            [tags.get(name, name) for name in _tags_of_words(answer, words, outside)]
            for answer, words in zip(answers, sentences, strict=True)
        ]

    def score(self, X: Any, y: Any) -> float:
        """Return the F1 of entities, where the tags are of a scheme such as IOB2; else the share of right tags."""
        sentences = to_sentences(X)
        expected, predicted = _checked_tags(y, sentences), self.predict(sentences)
        sentence_pairs = list(zip(expected, predicted, strict=True))
        if all(tag == OUTSIDE or tag[:2] in ("B-", "I-", "E-", "S-", "L-", "U-") for tag in self._names()):
            counts = [count for pair in sentence_pairs for count in count_entities(*pair).values()]
            return sum(counts, EntityCounts()).f1
        pairs = [pair for tags in sentence_pairs for pair in zip(*tags, strict=True)]
        return sum(a == b for a, b in pairs) / len(pairs)

    def _names(self) -> list[str]:
        """Return the tags in ``classes_`` as texts, as a fine-tuned model names them."""
        return [str(tag) for tag in self.classes_.tolist()]

    def _word_vectors(self, sentences: Sequence[list[str]]) -> Iterator[np.ndarray]:
        """Yield the vectors of the words of each sentence, (W, D): of a word, the mean of its tokens'."""
        model = os.fspath(named_or_default(self.model))
        task = _encoder_task(model, self.precision, self.threads, file_versions(model))
        for start in range(0, len(sentences), SENTENCES):
            yield from vectors_of_words(task, sentences[start : start + SENTENCES])

    @cached_property
    def _tag(self) -> Any:
        return pipeline(
            "token-classification",
            self.model_.folder,
            precision=self.precision,
            threads=self.threads,
            aggregation_strategy="none",
            ignore_labels=[],
        )

    def _finetuned(self, sentences: list[list[str]], numbers: np.ndarray) -> StoredModel:
        names = self._names()
        tags = iter([names[number] for number in numbers])
        rows = [{"words": words, "tags": [next(tags) for _ in words]} for words in sentences]
        return self._finetune("token-classification", rows)


def vectors_of_words(task: Task[Any], sentences: Sequence[list[str]]) -> list[np.ndarray]:
    """Return the vectors of the words of each sentence, (W, D): of a word, the mean of its tokens'.

    A word of which the tokenizer leaves nothing has a vector of zeros.
    """
    stride = stride_or_default(None, task.max_tokens)
    counts: list[list[int]] = []  # tokens of each word
    encoded: list[EncodedInput] = []
    for words in sentences:
        ids = task.tokenizer.encode_ids(words, None, False)
        counts.append([len(each) for each in ids])
        joined = [token for each in ids for token in each]
        encoded.append(
            EncodedInput(split_into_windows(task.tokenizer, joined, None, max_tokens=task.max_tokens, stride=stride))
        )
    vectors: list[np.ndarray] = [np.empty(0)] * len(sentences)
    for index, outputs in run_encoded(encoded, task.runner, task.batch_tokens, task.batch_size):
        tokens = join_windows([output["last_hidden_state"] for output in outputs], stride)[1:-1]  # (S, D)
        ends = np.cumsum(counts[index])
        sums = np.concatenate([np.zeros((1, tokens.shape[1])), np.cumsum(tokens, axis=0, dtype=np.float64)])
        lengths = np.maximum(counts[index], 1)[:, None]
        vectors[index] = ((sums[ends] - sums[ends - counts[index]]) / lengths).astype(np.float32)  # (W, D)
    return vectors


@lru_cache(maxsize=2)
def _encoder_task(model: str, precision: str | None, threads: int | None, versions: Any) -> Task[Any]:
    task = pipeline("feature-extraction", model, precision=precision, threads=threads)
    assert isinstance(task, Task)
    return task


def _checked_tags(y: Any, sentences: list[list[str]]) -> list[list[str]]:
    if y is None:
        raise InputError("requires y to be passed, but the target y is None: give a list of tags for each sentence.")
    tags = [list(to_inputs(each)) for each in to_inputs(y)]
    if len(tags) != len(sentences):
        raise InputError(f"There are {len(sentences):,} sentences and {len(tags):,} lists of tags.")
    for place, (words, each) in enumerate(zip(sentences, tags, strict=True)):
        if len(words) != len(each):
            raise InputError(f"X[{place}] has {len(words)} words, and y[{place}] has {len(each)} tags.")
    return tags


def _tags_of_words(answer: list[dict[str, Any]], words: list[str], outside: str) -> list[str]:
    """Return the tag of the first token of each word; ``outside`` for one of which the tokenizer leaves nothing."""
    starts = np.cumsum([0, *[len(word) + 1 for word in words[:-1]]]).tolist()
    by_word: dict[int, str] = {}
    for token in answer:
        place = int(np.searchsorted(starts, token["start"], side="right")) - 1
        by_word.setdefault(place, token["entity"])
    return [by_word.get(place, outside) for place in range(len(words))]
