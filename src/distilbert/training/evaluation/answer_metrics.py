"""Evaluation of question-answering: exact match and F1 as SQuAD defines them.

Answers are compared without case, punctuation, the articles a, an, the, and superfluous spaces; F1 is that of their
bags of words. If a question has several right answers, the best match counts. If it has none, only the empty text is
right (arXiv 1606.05250, section 6; SQuAD 2.0: arXiv 1806.03822, section 5).

Legend: R resamples, N questions.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.examples import Example, Labels, QuestionExample
from ...tasks import Task
from ..reports.number_format import number
from .bootstrap import ResampledMetrics
from .calibration import score_histogram
from .error_entries import ErrorEntry, answer_entry, asked_texts, shortened
from .task_evaluation import (
    ExampleResult,
    Metrics,
    Predict,
    Severity,
    TaskEvaluation,
    as_floats,
    example_result,
    of_kind,
    ratio,
    unlabelled,
)

PUNCTUATION = str.maketrans("", "", string.punctuation)
AROUND_ANSWER = 160  # characters of a context that the page shows before and after its answer
ARTICLES = re.compile(r"\b(a|an|the)\b")


def _predictor(task: Task[Any], examples: Sequence[Example]) -> Predict:
    some_unanswerable = any(example.labelled and not example.answers for example in of_kind(examples, QuestionExample))

    def predict(some: Sequence[Example], first: int) -> list[Any]:
        inputs = [
            {"question": example.question, "context": example.context} for example in of_kind(some, QuestionExample)
        ]
        answers = task(inputs, top_k=1, handle_impossible_answer=some_unanswerable)
        return [{"text": answer["answer"], "score": answer["score"]} for answer in answers]

    return predict


def reference_answers(examples: Sequence[Example]) -> list[list[str]]:
    """Return the texts that answer each question; none if the context has no answer."""
    references = []
    for example in of_kind(examples, QuestionExample):
        if not example.labelled:
            raise unlabelled(example.place)
        references.append([answer.text for answer in example.answers])
    return references


@dataclass(frozen=True)
class AnswerMatch:
    """How well an answer matches, from 0 to 1."""

    exact: float
    f1: float


def normalize_answer(text: str) -> str:
    """Return lower case without punctuation and articles, with single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def match_answer(predicted: str, answers: Sequence[str]) -> AnswerMatch:
    """Compare an answer with the right ones; without a right answer, the empty text is right.

    Like the official program for SQuAD 2.0, it ignores right answers that consist of articles and punctuation. If no
    other one remains, the empty text is right.
    """
    expected = [answer for answer in answers if normalize_answer(answer)] or [""]
    return AnswerMatch(
        max(float(normalize_answer(predicted) == normalize_answer(answer)) for answer in expected),
        max(word_f1(predicted, answer) for answer in expected),
    )


def word_f1(predicted: str, expected: str) -> float:
    """Return F1 of the words of two texts; if one of them has no words, 1 if the other has none either, else 0."""
    predicted_words, expected_words = normalize_answer(predicted).split(), normalize_answer(expected).split()
    if not predicted_words or not expected_words:
        return float(predicted_words == expected_words)
    shared = sum((Counter(predicted_words) & Counter(expected_words)).values())
    return 2 * shared / (len(predicted_words) + len(expected_words))


def _metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> Metrics:
    references = reference_answers(examples)
    matches = _matches(predictions, references)
    exact, f1 = np.array([match.exact for match in matches]), np.array([match.f1 for match in matches])  # (N,)
    answerable = np.array([bool(texts) for texts in references])  # (N,)
    metrics = {"exact_match": exact.mean(), "f1": f1.mean()}
    if not answerable.all():
        for name, selected in (("has_answer", answerable), ("no_answer", ~answerable)):
            if selected.any():
                metrics |= {f"{name}_exact_match": exact[selected].mean(), f"{name}_f1": f1[selected].mean()}
    return as_floats({name: 100 * value for name, value in metrics.items()})


def _matches(predictions: Sequence[Any], references: Sequence[Sequence[str]]) -> list[AnswerMatch]:
    return [match_answer(answer["text"], texts) for answer, texts in zip(predictions, references, strict=True)]


def _resampled_metrics(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> ResampledMetrics:
    references = reference_answers(examples)
    values = 100 * np.array([[match.exact, match.f1] for match in _matches(predictions, references)])  # (N, 2)
    answerable = np.array([bool(texts) for texts in references], np.float64)  # (N,)
    subsets = {"": np.ones(len(answerable))}
    if 0 < answerable.sum() < len(answerable):
        subsets |= {"has_answer_": answerable, "no_answer_": 1 - answerable}
    elif not answerable.any():
        subsets["no_answer_"] = 1 - answerable

    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        metrics = {}
        for prefix, subset in subsets.items():
            sums, total = counts @ (values * subset[:, None]), counts @ subset  # (R, 2), (R,)
            for column, name in enumerate(("exact_match", "f1")):
                metrics[prefix + name] = ratio(sums[:, column], total)
        return metrics

    return compute


def _breakdown(examples: Sequence[Example], predictions: Sequence[Any], labels: Labels) -> dict[str, Any]:
    exact = np.array([match.exact for match in _matches(predictions, reference_answers(examples))]) > 0
    return {"scores": score_histogram(np.array([answer["score"] for answer in predictions]), exact)}


def _example_results(
    examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> Sequence[tuple[ExampleResult, Severity]]:
    results = []
    for texts, answer in zip(reference_answers(examples), predictions, strict=True):
        match = match_answer(answer["text"], texts)
        result = example_result(
            list(dict.fromkeys(texts)), answer["text"], answer["score"], match.exact > 0, f1=round(match.f1, 6)
        )
        results.append((result, (1 - match.f1, float(answer["score"]))))
    return results


def _count_changes(first: Sequence[Any], second: Sequence[Any]) -> tuple[int, int]:
    changes = [a["text"] != b["text"] for a, b in zip(first, second, strict=True)]
    return sum(changes), len(changes)


def _error_entry(result: ExampleResult) -> ErrorEntry:
    return answer_entry(
        result,
        asked_texts(result, "question"),
        context=_around_answer(result["context"], [*result["expected"], result["got"]]),
        more_scores=f", F1 {number(result['f1'])}",
    )


def _around_answer(context: str, answers: Sequence[str]) -> str:
    """Return the part of a context around the first of the answers that stands in it."""
    starts = [start for answer in answers if answer and (start := context.find(answer)) >= 0]
    start = max(0, starts[0] - AROUND_ANSWER) if starts else 0
    return ("… " if start else "") + shortened(context[start:], 2 * AROUND_ANSWER + 80)


ANSWER_EVALUATION = TaskEvaluation(
    _predictor, _metrics, _resampled_metrics, _breakdown, _example_results,
    compared_answers=lambda result: [normalize_answer(result["got"])], count_changes=_count_changes,
    error_entry=_error_entry, error_order="the lowest F1 first, and of equal ones the surest",
)  # fmt: skip
