"""Extractive question answering: the span of a context that answers a question.

Legend: S tokens of a window, A tokens of the longest answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ..core.errors import InputError
from .base import Task
from .batching import EncodedInput, Outputs
from .checks import check_count, check_fields, check_text
from .columns import to_inputs
from .scores import largest, softmax
from .task_spec import ExampleInput, HubModel, InputColumn, InputForm, LabelledColumn, LabelledData, Metric, TaskSpec
from .task_tokenizer import TextEncoding

DEFAULT_WINDOW_LENGTH = 384
DEFAULT_STRIDE = 128
MASKED_LOGIT = np.float32(-10000.0)  # of tokens that cannot be in an answer


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringParams:
    """Parameters; lengths count tokens.

    Attributes:
        top_k: answers to return, at most: 1 gives one answer alone, more give a list.
        doc_stride: tokens that two windows of a long context share; by default ``min(max_seq_len // 2, 128)``. Where a
            long question leaves no room for that many, it is half of what the question leaves.
        max_answer_len: longest answer.
        max_seq_len: longest window, question and special tokens included; by default 384 or the model's length.
        max_question_len: longest question, and never more than three quarters of a window; the rest is left out.
        handle_impossible_answer: "no answer" may be the answer, as ``{"answer": "", "start": 0, "end": 0}``.
        align_to_words: answers start and end at word borders.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_len", "max_question_len"):
            check_count(getattr(self, name), name)
        check_count(self.max_seq_len, "max_seq_len", least=5, optional=True)
        check_count(self.doc_stride, "doc_stride", least=0, optional=True)


SPEC = TaskSpec(
    name="question-answering",
    question="where in this text is the answer?",
    head="ForQuestionAnswering",
    inputs=(InputForm((InputColumn("question"), InputColumn("context"))),),
    parameters_class=QuestionAnsweringParams,
    options={"top_k": "--top-k", "doc_stride": "--stride"},
    example=ExampleInput({"question": "Where was Ada Lovelace born?", "context": "Ada Lovelace was born in London."}),
    labelled=LabelledData(
        (
            LabelledColumn("question", (("question", "query"),), required=True),
            LabelledColumn("context", (("context", "passage", "paragraph"), ("document", "text")), required=True),
            LabelledColumn("answers", (("answers",),), may_join=True),
            LabelledColumn("key", (("id", "key", "qid", "question_id"),)),
        ),
        target="answers",
    ),
    metric=Metric("f1", "F1 (%)", in_percent=True),
    model_kind="Question answering",
    usage="""\
ask = pipeline("question-answering", model="path/to/this/folder")
print(ask(question="Where was Ada Lovelace born?", context="Ada Lovelace was born in London."))""",
    transformers_versions="up to version 4.57",
    hub_model=HubModel("distilbert/distilbert-base-cased-distilled-squad", "564e9b582944a57a3e586bbb98fd6f0a4118db7f"),
)


@dataclass(frozen=True)
class _Questions:
    """The questions of an input with their contexts, and whether the input had lists: then the answer is a list."""

    pairs: list[tuple[str, str]]
    is_list: bool


@dataclass(frozen=True)
class _ContextWindows:
    """A context, and the windows that it was cut into, each with the question before it."""

    text: str
    windows: list[TextEncoding]


@dataclass(frozen=True)
class _Contexts:
    """The contexts of an input, in order, and whether the answer is a list with an entry for each."""

    contexts: list[_ContextWindows]
    is_list: bool

    @property
    def windows(self) -> list[TextEncoding]:
        """The windows of all contexts."""
        return [window for context in self.contexts for window in context.windows]


class QuestionAnsweringPipeline(Task[QuestionAnsweringParams]):
    """``{"question": str, "context": str}`` -> ``{"score", "start", "end", "answer"}``, or a list of them.

    Start and end count characters of the context. Question and context may also be given as keywords, or as two texts.
    Each may be a list of texts, too: as many contexts as questions, one context for all questions, or one question for
    all contexts. Then the answer is a list.
    """

    spec = SPEC
    in_chunks = True

    def __call__(
        self,
        inputs: Any = None,
        /,
        *texts: Any,
        question: Any = None,
        context: Any = None,
        data: Any = None,
        X: Any = None,
        **params: Any,
    ) -> Any:
        """Answer; see :meth:`Task.__call__` and :class:`QuestionAnsweringParams`.

        ``data`` and ``X`` are older names of the inputs. Several inputs may be given one after the other.
        """
        if data is not None or X is not None:
            if inputs is not None or (data is not None and X is not None):
                raise InputError("question-answering takes one of inputs, data= and X=; more was given.")
            inputs = X if data is None else data
        if texts and not isinstance(inputs, str):
            inputs, texts = [inputs, *texts], ()
        if texts:
            if len(texts) > 1 or inputs is None or question is not None:
                raise InputError("question-answering takes one input, or question and context; more was given.")
            question, context, inputs = inputs, texts[0], None
        if inputs is not None:
            if question is not None or context is not None:
                raise InputError("question-answering takes either one input or question= and context=, not both.")
            return super().__call__(inputs, **params)
        if question is None or context is None:
            raise InputError("question-answering needs both question= and context=, or one dict with both.")
        return super().__call__(self.create_sample(question, context), **params)

    @staticmethod
    def create_sample(question: Any, context: Any) -> Any:
        """Return an input of question and context; a list of inputs where one of them is a list."""
        pairs, is_list = pair_up(question, context, "The input")
        samples = [{"question": question, "context": context} for question, context in pairs]
        return samples if is_list else samples[0]

    def window_length(self, params: QuestionAnsweringParams) -> int:
        """Tokens of a window: what the parameters say, and never more than tokenizer and model allow."""
        return min(params.max_seq_len or DEFAULT_WINDOW_LENGTH, self.tokenizer.model_max_length, self.max_tokens)

    def check(self, params: QuestionAnsweringParams) -> None:
        """Check that windows advance."""
        length = self.window_length(params)
        if params.doc_stride is not None and params.doc_stride > length:
            raise InputError(f"doc_stride={params.doc_stride} is longer than a window of {length} tokens.")

    def parse(self, item: Any, where: str, params: QuestionAnsweringParams) -> _Questions:
        """Return questions and contexts."""
        if hasattr(item, "question_text") and hasattr(item, "context_text"):  # a SquadExample of transformers
            item = {"question": item.question_text, "context": item.context_text}
        check_fields(item, ["question", "context"], [], where)
        pairs, is_list = pair_up(item["question"], item["context"], where)
        for question, context in pairs:
            check_text(question, f"{where}['question']")
            check_text(context, f"{where}['context']")
        return _Questions(pairs, is_list)

    def encode(self, items: list[_Questions], params: QuestionAnsweringParams) -> list[EncodedInput]:
        """One sequence per window of the context; each starts with the question."""
        windows = iter(self._windows_of([pair for item in items for pair in item.pairs], params))
        encoded = []
        for item in items:
            contexts = [_ContextWindows(text, next(windows)) for _, text in item.pairs]
            sequences = [list(window.ids) for context in contexts for window in context.windows]
            encoded.append(EncodedInput(sequences, _Contexts(contexts, item.is_list)))
        return encoded

    def _windows_of(self, pairs: list[tuple[str, str]], params: QuestionAnsweringParams) -> list[list[TextEncoding]]:
        """Return the windows of each context, with its question before it."""
        length = self.window_length(params)
        usual_stride = min(length // 2, DEFAULT_STRIDE) if params.doc_stride is None else params.doc_stride
        questions, counts = self._cut_questions(
            [question for question, _ in pairs], min(params.max_question_len, length * 3 // 4, length - 4)
        )
        by_stride: dict[int, list[int]] = {}  # pairs whose question leaves little room get a smaller stride
        for index, count in enumerate(counts):
            room = length - 3 - count  # for the context
            by_stride.setdefault(usual_stride if usual_stride < room else room // 2, []).append(index)
        windows: list[list[TextEncoding]] = [[] for _ in pairs]
        for stride, indices in by_stride.items():
            encodings = self.tokenizer.encode_batch(
                [questions[index] for index in indices],
                [pairs[index][1] for index in indices],
                truncation="only_second",
                max_length=length,
                stride=stride,
            )
            for index, encoding in zip(indices, encodings, strict=True):
                windows[index] = [encoding, *encoding.overflowing]
        return windows

    def _cut_questions(self, questions: list[str], longest: int) -> tuple[list[str], list[int]]:
        """Return the questions, cut after ``longest`` tokens, and the number of tokens of each."""
        counts = [len(ids) for ids in self.tokenizer.encode_ids(questions, None, False)]
        for index, count in enumerate(counts):
            if count > longest:
                offsets = self.tokenizer.encode_batch([questions[index]], add_special_tokens=False)[0].offsets
                questions[index] = questions[index][: offsets[longest - 1][1]]
                counts[index] = longest
        return questions, counts

    def decode(self, encoded: EncodedInput, outputs: list[Outputs], params: QuestionAnsweringParams) -> Any:
        """Answer for each context."""
        contexts: _Contexts = encoded.metadata
        remaining = iter(outputs)
        answers = [
            self._answer(context, list(islice(remaining, len(context.windows))), params)
            for context in contexts.contexts
        ]
        return answers if contexts.is_list else answers[0]

    def _answer(self, context: _ContextWindows, outputs: list[Outputs], params: QuestionAnsweringParams) -> Any:
        """Rank the best spans of all windows; the scores of equal answers (whatever their case) add up."""
        spans_per_window = 2 * params.top_k + 10 if params.align_to_words else params.top_k
        answers: dict[str, dict[str, Any]] = {}
        no_answer = 1.0
        for window, output in zip(context.windows, outputs, strict=True):
            in_context = [sequence == 1 for sequence in window.sequence_ids]
            spans, no_answer_here = best_spans(
                output["start_logits"], output["end_logits"], in_context, spans_per_window, params.max_answer_len
            )
            no_answer = min(no_answer, no_answer_here)
            words, offsets = window.word_ids, window.offsets
            for first, last, score in spans:
                if params.align_to_words:
                    first, last = extend_to_words(words, in_context, first, last)
                start, end = offsets[first][0], offsets[last][1]
                text = context.text[start:end]
                answer = answers.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
                answer["score"] += score
        ranked = list(answers.values())
        if params.handle_impossible_answer:
            ranked.append({"score": no_answer, "start": 0, "end": 0, "answer": ""})
        ranked.sort(key=lambda answer: -answer["score"])
        if not ranked:  # a context of spaces
            ranked = [{"score": 0.0, "start": 0, "end": 0, "answer": ""}]
        return ranked[0] if params.top_k == 1 else ranked[: params.top_k]


def pair_up(question: Any, context: Any, where: str) -> tuple[list[tuple[Any, Any]], bool]:
    """Return (question, context) pairs, and whether question or context is a list.

    Raises:
        InputError: the lists have different lengths, or are empty; ``where`` names the input.
    """
    question, context = to_inputs(question), to_inputs(context)
    lists = [value for value in (question, context) if isinstance(value, (list, tuple))]
    count = max(map(len, lists), default=1)
    questions, contexts = (
        list(value) if isinstance(value, (list, tuple)) else [value] * count for value in (question, context)
    )
    if len(questions) != len(contexts) or not questions:
        raise InputError(
            f"{where} has {len(questions)} questions and {len(contexts)} contexts; give as many contexts as questions, "
            "one context for all questions, or one question for all contexts."
        )
    return list(zip(questions, contexts, strict=True)), bool(lists)


def best_spans(
    start_logits: np.ndarray, end_logits: np.ndarray, in_context: Sequence[bool], count: int, longest: int
) -> tuple[list[tuple[int, int, float]], float]:
    """Return the likeliest spans of a window, and the probability of "no answer".

    Args:
        start_logits: (S,).
        end_logits: (S,).
        in_context: (S,) whether a token belongs to the context. Position 0 ([CLS], which stands for "no answer") takes
            part in the softmax and is never in a span.
        count: spans to return, at most.
        longest: tokens of the longest span.

    Returns:
        (first token, last token, probability) of each span, best first, and the probability of position 0.
    """
    context = np.asarray(in_context, dtype=bool)  # (S,)
    in_softmax = context.copy()
    in_softmax[0] = True
    start = softmax(np.where(in_softmax, start_logits, MASKED_LOGIT))  # (S,)
    end = softmax(np.where(in_softmax, end_logits, MASKED_LOGIT))  # (S,)
    no_answer = float(start[0] * end[0])
    start, end = np.where(context, start, 0), np.where(context, end, 0)
    width = min(longest, len(start))
    padded = np.concatenate([end, np.zeros(width - 1, end.dtype)])
    following = np.lib.stride_tricks.sliding_window_view(padded, width)  # (S, A): the ends that a start can have
    products = (start[:, None] * following).ravel()  # (S * A,): the span of tokens i to i + j stands at i * A + j
    best = [index for index in largest(products, count) if products[index] > 0]
    return [(i // width, i // width + i % width, float(products[i])) for i in best], no_answer


def extend_to_words(words: Sequence[int | None], in_context: Sequence[bool], first: int, last: int) -> tuple[int, int]:
    """Extend a span of tokens to whole words, as far as they stand in this window.

    Args:
        words: (S,) index of the word that each token belongs to.
        in_context: (S,) whether a token belongs to the context; the last token ([SEP]) does not.
        first: first token of the span.
        last: last token of the span.
    """
    while in_context[first - 1] and words[first - 1] == words[first]:
        first -= 1
    while in_context[last + 1] and words[last + 1] == words[last]:
        last += 1
    return first, last
