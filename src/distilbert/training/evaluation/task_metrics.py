"""Predictions, metrics and results of any task: checks what is given and calls the functions of the task's file.

Legend: L labels, C choices.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...core.errors import DataError, InputError, suggest
from ...core.runner_protocol import Runner
from ...data.examples import (
    EVALUATED_TASKS,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from ...tasks import Task
from ...tasks.loading import pipeline
from ...tasks.sentence_similarity import SentenceSimilarityPipeline
from .answer_metrics import ANSWER_EVALUATION
from .bootstrap import ResampledMetrics
from .choice_metrics import CHOICE_EVALUATION
from .classification_metrics import classification_evaluation
from .masking_metrics import MASKING_EVALUATION
from .similarity_metrics import SIMILARITY_EVALUATION
from .tagging_metrics import TAGGING_EVALUATION
from .task_evaluation import ExampleResult, Metrics, Severity, TaskEvaluation

EVALUATIONS: dict[str, Callable[[str], TaskEvaluation]] = {  # by the model's problem_type
    "text-classification": classification_evaluation,
    "token-classification": lambda problem: TAGGING_EVALUATION,
    "question-answering": lambda problem: ANSWER_EVALUATION,
    "multiple-choice": lambda problem: CHOICE_EVALUATION,
    "fill-mask": lambda problem: MASKING_EVALUATION,
    "sentence-similarity": lambda problem: SIMILARITY_EVALUATION,
}

CountCallback = Callable[[int, int], None]  # examples done, and of how many
CustomMetrics = Mapping[str, Callable[[list[Any], list[Any]], float]]  # by name: from right answers and given ones


def task_evaluation(task_name: str, problem: str = "") -> TaskEvaluation:
    """Return how a task is evaluated.

    Args:
        task_name: one of ``EVALUATED_TASKS``.
        problem: ``problem_type`` of the model; empty unless the task is text-classification.

    Raises:
        InputError: there is no such task; the message names the nearest one.
    """
    if task_name not in EVALUATIONS:
        near = suggest(task_name, EVALUATED_TASKS)
        raise InputError(f"The task {task_name!r} cannot be evaluated.{near} Tasks are: {', '.join(EVALUATED_TASKS)}.")
    return EVALUATIONS[task_name](problem)


def load_task(name: str | None, model: str | os.PathLike[str], **options: Any) -> Task[Any]:
    """Load a model for a task that can be evaluated.

    Args:
        name: the task; None: the one that the model was made for, or for an encoder without a head sentence-similarity.
        model: a folder, or a name.
        **options: those of :func:`~distilbert.pipeline`.

    Raises:
        InputError: the task has no labelled data, and so no metric.
    """
    task = pipeline(name, model, **options)
    if name is None and not task.spec.head:
        task = with_runner(task, task.runner, SentenceSimilarityPipeline)
    if task.task not in EVALUATIONS:
        raise InputError(f"There is no metric for the task {task.task!r}, but for {', '.join(EVALUATED_TASKS)}.")
    return task


def with_runner(task: Task[Any], runner: Runner, task_class: type[Task[Any]] | None = None) -> Task[Any]:
    """Return a task that reads as another one does, with its tokenizer, batches and folder, and has another runner.

    Args:
        task: the other one.
        runner: computes the outputs.
        task_class: what the task is; None: what the other one is.

    Raises:
        InputError: the folder asks for a way of pooling that is not known here.
    """
    result = (task_class or type(task))(
        runner, task.tokenizer, batch_tokens=task.batch_tokens, batch_size=task.batch_size
    )
    result.model_folder = task.model_folder
    result.modules_in_use(result.params)
    return result


def predict(task: Task[Any], examples: Sequence[Example], *, on_progress: CountCallback | None = None) -> list[Any]:
    """Answer examples as the pipeline answers its users.

    Args:
        task: any task of ``EVALUATED_TASKS``, with any runner.
        examples: the inputs; their labels are not used.
        on_progress: called with the number of examples done, and of all.

    Returns:
        One prediction for each example:

        - text-classification: (L,) float32 probabilities in the order of the labels; of a regression the number itself
        - token-classification: a tuple of tags, that of each word's first token; "O" for a word without tokens
        - question-answering: ``{"text": str, "score": float}``; "no answer" is possible if some example has none
        - multiple-choice: (C,) float32 probabilities
        - sentence-similarity: (1,) float32, the cosine
        - fill-mask: the sum of the log-probabilities of masked tokens, how many were guessed right, how many there are

    Raises:
        InputError: the task cannot be evaluated, or does not take one of the inputs.
        DataError: an example is of another kind than the task needs.
    """
    if task.task not in EVALUATIONS:
        raise InputError(f"The task {task.task!r} cannot be evaluated; {', '.join(EVALUATIONS)} can.")
    answer = EVALUATIONS[task.task]("").predictor(task, examples)
    predictions: list[Any] = []
    for start in range(0, len(examples), task.chunk_size):
        predictions += answer(examples[start : start + task.chunk_size], start)
        if on_progress is not None:
            on_progress(len(predictions), len(examples))
    return predictions


def compute_metrics(
    task_name: str,
    examples: Sequence[Example],
    predictions: Sequence[Any],
    labels: Labels,
    custom: CustomMetrics | None = None,
) -> Metrics:
    """Compare predictions with the labels of the examples; cheap enough to call during training.

    Args:
        task_name: one of ``EVALUATED_TASKS``.
        examples: labelled examples.
        predictions: one for each, as :func:`predict` returns them.
        labels: those of the model that answered.
        custom: further metrics by name, functions of two lists: what is right for each example, and what the model
            answered. Of text-classification these are names of labels, lists of names, or numbers; of
            token-classification lists of tags; of question-answering the list of right texts, and a text; of
            multiple-choice indices; of sentence-similarity numbers.

    Returns:
        Metrics by name: shares from 0 to 1, those of question-answering in per cent. A metric that is not defined (the
        precision without predictions, the correlation with a constant) is 0.

    Raises:
        DataError: there are no examples, one has no label, or one has a label that the model does not have.
        InputError: there is no such task, a prediction is not a number, or a metric of ``custom`` returns no finite
            number or has the name of a metric of the task.
    """
    if not examples:
        raise DataError("There are no examples to evaluate.")
    if len(examples) != len(predictions):
        raise InputError(f"{len(examples)} examples need as many predictions, got {len(predictions)}.")
    for example, prediction in zip(examples, predictions, strict=True):
        if isinstance(prediction, np.ndarray) and not np.isfinite(prediction).all():
            raise InputError(f"The model's scores for {example.place} are not finite: are its weights damaged?")
    metrics = task_evaluation(task_name, labels.problem).metrics(examples, predictions, labels)
    if custom:
        results, _ = example_results(task_name, examples, predictions, labels)
        metrics |= _custom_metrics(custom, metrics, results)
    return metrics


def _custom_metrics(custom: CustomMetrics, own: Metrics, results: Sequence[ExampleResult]) -> Metrics:
    """Return what functions of the user's own say of the answers; ``own`` are the metrics of the task."""
    expected, got = ([result[side] for result in results] for side in ("expected", "got"))
    values: Metrics = {}
    for name, function in custom.items():
        if name in own:
            raise InputError(f"The task has a metric of the name {name!r} already; choose another name.")
        value = function(list(expected), list(got))
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            raise InputError(f"The metric {name!r} must return a number, got {value!r:.80}.") from None
        if not np.isfinite(values[name]):
            raise InputError(f"The metric {name!r} returned {values[name]}, which is no finite number.")
    return values


def resampled_metrics(
    task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> ResampledMetrics:
    """Return the metrics as a function of how often each example counts; arguments as in :func:`compute_metrics`."""
    return task_evaluation(task_name, labels.problem).resampled_metrics(examples, predictions, labels)


def breakdown(
    task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> dict[str, Any]:
    """Return what a single number hides, as plain values; arguments as in :func:`compute_metrics`.

    Returns:
        Some of ``classes`` and ``types`` (precision, recall, F1 and support of each), ``confusion`` (L rows of right
        labels, L columns of predicted ones), ``calibration``, ``scores`` (a histogram of right and wrong predictions),
        ``points`` (pairs of expected and predicted value) and ``cosines`` (pairs of expected score and cosine).
    """
    return task_evaluation(task_name, labels.problem).breakdown(examples, predictions, labels)


def example_results(
    task_name: str, examples: Sequence[Example], predictions: Sequence[Any], labels: Labels
) -> tuple[list[ExampleResult], list[Severity]]:
    """Return a result for each example, ready for JSON, and the severity of its error.

    A result has ``place``, what was asked, ``expected``, ``got``, ``score`` and ``right`` (None for a regression and
    for fill-mask). The score is the probability of the answer; of tagging it is the F1 of the sentence's entities, of
    a regression the error, of fill-mask the perplexity. Arguments as in :func:`compute_metrics`.
    """
    answered = task_evaluation(task_name, labels.problem).example_results(examples, predictions, labels)
    results = [_question(example) | result for example, (result, _) in zip(examples, answered, strict=True)]
    return results, [severity for _, severity in answered]


def worst_results(results: Sequence[ExampleResult], severities: Sequence[Severity], count: int) -> list[ExampleResult]:
    """Return up to ``count`` results that are not right, the worst first."""
    wrong = [index for index, result in enumerate(results) if not result["right"]]
    by_severity = sorted(wrong, key=lambda index: (*(-value for value in severities[index]), index))
    return [results[index] for index in by_severity[:count]]


def _question(example: Example) -> ExampleResult:
    """Return the place of an example, and what the model was asked."""
    if isinstance(example, TextExample):
        pair = {} if example.text_pair is None else {"text_pair": example.text_pair}
        return {"place": example.place, "text": example.text} | pair
    if isinstance(example, TaggedExample):
        return {"place": example.place, "words": list(example.words)}
    if isinstance(example, QuestionExample):
        return {
            "place": example.place, "key": example.key, "question": example.question, "context": example.context,
        }  # fmt: skip
    assert isinstance(example, ChoiceExample)
    return {
        "place": example.place, "context": example.context, "question": example.question,
        "choices": list(example.choices),
    }  # fmt: skip
