"""Evaluation of token-classification: entities of tagged sentences, counted as seqeval and conlleval count them.

An entity is right if its type, first and last word are. ``B-X`` begins an X; ``I-X`` continues an X, or begins one if
none stands before; ``E-`` ends one; ``S-`` is one of a single word. A tag without a prefix (``PER``) counts as ``I-``,
as it does in the token-classification pipeline, so neighbouring words of one type are one entity.

Legend: R resamples, N sentences.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ...core.extras import require
from ...data.examples import Example, Labels, TaggedExample
from ...tasks import Task
from ...tasks.tagging_schemes import OUTSIDE, Tag
from .bootstrap import ResampledMetrics
from .error_entries import ErrorEntry
from .task_evaluation import (
    ExampleResult,
    Metrics,
    Predict,
    Severity,
    TaskEvaluation,
    as_floats,
    example_result,
    f1_score,
    of_kind,
    ratio,
    unlabelled,
)

Entity = tuple[str, int, int]  # type, first and last word


def _predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    def predict(some: Sequence[Example], first: int) -> list[Any]:
        sentences = [list(example.words) for example in of_kind(some, TaggedExample)]
        answers = task(
            sentences, is_split_into_words=True, delimiter=" ", aggregation_strategy="none", ignore_labels=[]
        )
        return [_word_tags(words, tokens) for words, tokens in zip(sentences, answers, strict=True)]

    return predict


def _word_tags(words: list[str], tokens: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the tag of each word's first token. Offsets of tokens refer to the words joined by spaces."""
    starts = list(accumulate((len(word) + 1 for word in words[:-1]), initial=0))
    tags: dict[int, str] = {}
    for token in tokens:
        tags.setdefault(bisect_right(starts, token["start"]) - 1, token["entity"])
    return tuple(tags.get(index, OUTSIDE) for index in range(len(words)))


def reference_tags(examples: Sequence[Example], labels: Labels) -> list[list[str]]:
    """Return the tags of each sentence by the model's names; a tag that the model does not have stays as it is."""
    references = []
    for example in of_kind(examples, TaggedExample):
        if example.tags is None:
            raise unlabelled(example.place)
        references.append([labels.names[labels.index[tag]] if tag in labels.index else tag for tag in example.tags])
    return references


@dataclass(frozen=True)
class EntityCounts:
    """Numbers of entities: those both expected and predicted, all that are predicted, all that are expected."""

    correct: int = 0
    predicted: int = 0
    expected: int = 0

    @property
    def precision(self) -> float:
        """Share of the predicted entities that is correct; 0 if none is predicted."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the expected entities that is predicted; 0 if none is expected."""
        return self.correct / self.expected if self.expected else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.predicted + self.expected
        return 2 * self.correct / total if total else 0.0

    def __add__(self, other: EntityCounts) -> EntityCounts:
        return EntityCounts(
            self.correct + other.correct, self.predicted + other.predicted, self.expected + other.expected
        )


def with_prefix(tag: str) -> str:
    """Return a tag as seqeval reads it."""
    return str(Tag.parse(tag))


def find_entities(tags: Sequence[str]) -> set[Entity]:
    """Return the entities of one sentence."""
    seqeval = require("seqeval.metrics.sequence_labeling", "evaluate")
    return set(seqeval.get_entities([with_prefix(tag) for tag in tags]))


def count_entities(expected_tags: Sequence[str], predicted_tags: Sequence[str]) -> dict[str, EntityCounts]:
    """Count the entities of one sentence by their type."""
    expected, predicted = find_entities(expected_tags), find_entities(predicted_tags)
    return {
        kind: EntityCounts(
            *(
                sum(entity[0] == kind for entity in entities)
                for entities in (expected & predicted, predicted, expected)
            ),
        )
        for kind in sorted({entity[0] for entity in expected | predicted})
    }


def sum_counts(sentences: Sequence[Mapping[str, EntityCounts]]) -> dict[str, EntityCounts]:
    """Add up the counts of sentences, type by type."""
    total: dict[str, EntityCounts] = {}
    for sentence in sentences:
        for kind, counts in sentence.items():
            total[kind] = total.get(kind, EntityCounts()) + counts
    return dict(sorted(total.items()))


def _metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    seqeval = require("seqeval.metrics.sequence_labeling", "evaluate")
    expected, predicted = reference_tags(examples, labels), [list(tags) for tags in predictions]
    precision, recall, f1, _ = seqeval.precision_recall_fscore_support(
        *([[with_prefix(tag) for tag in tags] for tags in sentences] for sentences in (expected, predicted)),
        average="micro",
        zero_division=0,
    )
    token_accuracy = seqeval.accuracy_score(expected, predicted)
    return as_floats({"precision": precision, "recall": recall, "f1": f1, "token_accuracy": token_accuracy})


def _resampled_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    rows = []
    for expected, predicted in zip(reference_tags(examples, labels), predictions, strict=True):
        counts = sum(count_entities(expected, predicted).values(), EntityCounts())
        equal_tags = sum(a == b for a, b in zip(expected, predicted, strict=True))
        rows.append([counts.correct, counts.predicted, counts.expected, equal_tags, len(expected)])
    sentences = np.array(rows, np.float64)  # (N, 5)

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        correct, predicted, expected, equal_tags, words = (counts @ sentences).T  # (R,) each
        return {
            "precision": ratio(correct, predicted),
            "recall": ratio(correct, expected),
            "f1": f1_score(correct, predicted, expected),
            "token_accuracy": ratio(equal_tags, words),
        }

    return compute


def _breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    sentences = zip(reference_tags(examples, labels), predictions, strict=True)
    by_type = sum_counts([count_entities(expected, predicted) for expected, predicted in sentences])
    return {
        "types": [
            {
                "name": kind,
                "precision": counts.precision,
                "recall": counts.recall,
                "f1": counts.f1,
                "support": counts.expected,
            }
            for kind, counts in by_type.items()
        ]
    }


def _example_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for expected, predicted in zip(reference_tags(examples, labels), predictions, strict=True):
        counts = sum(count_entities(expected, predicted).values(), EntityCounts())
        wrong_entities = counts.predicted + counts.expected - 2 * counts.correct
        wrong_tags = sum(a != b for a, b in zip(expected, predicted, strict=True))
        f1 = counts.f1 if counts.predicted + counts.expected else 1.0
        result = example_result(expected, list(predicted), f1, wrong_entities == 0)
        results.append((result, (float(wrong_entities), float(wrong_tags))))
    return results


def _count_changes(first: Sequence[Any], second: Sequence[Any]) -> tuple[int, int]:
    pairs = zip(first, second, strict=True)
    changes = [a != b for tags, other_tags in pairs for a, b in zip(tags, other_tags, strict=True)]
    return sum(changes), len(changes)


def _error_entry(result: ExampleResult) -> ErrorEntry:
    tagged = [
        (style, title, list(zip(result["words"], result[title], strict=True)))
        for style, title in (("right", "expected"), ("wrong", "got"))
    ]
    return ErrorEntry(result["place"], tagged=tagged)


TAGGING_EVALUATION = TaskEvaluation(
    _predictor, _metrics, _resampled_metrics, _breakdown, _example_results,
    compared_answers=lambda result: list(result["got"]), count_changes=_count_changes,
    error_entry=_error_entry, error_order="those with the most wrong entities first",
)  # fmt: skip
