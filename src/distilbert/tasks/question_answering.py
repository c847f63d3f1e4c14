"""Extractive question answering: the span of a context that answers a question. Legend: S tokens of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError
from .base import Task
from .batching import Outputs, Work
from .checks import check_count, check_fields, check_text
from .spans import answer_spans, whole_words
from .task_spec import Example, InputColumn, InputForm, LabelledColumn, LabelledData, Metric, TaskSpec
from .tokenizer import TextEncoding


@dataclass(frozen=True, kw_only=True)
class QuestionAnsweringParams:
    """Parameters; lengths count tokens.

    Attributes:
        top_k: answers to return, at most: 1 gives one answer alone, more give a list.
        doc_stride: tokens that two windows of a long context share; by default ``min(max_seq_len // 2, 128)``; half
            of what the question leaves where that is less.
        max_answer_len: longest answer.
        max_seq_len: longest window, question and special tokens included; by default 384 or the model's length.
        max_question_len: longest question, and never more than three quarters of a window; the rest is left out.
        handle_impossible_answer: "no answer" takes part, as ``{"answer": "", "start": 0, "end": 0}``.
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


@dataclass(frozen=True)
class _Context:
    text: str
    windows: list[TextEncoding]


SPEC = TaskSpec(
    name="question-answering",
    question="where in this text is the answer?",
    head="ForQuestionAnswering",
    inputs=(InputForm((InputColumn("question"), InputColumn("context"))),),
    parameters_class=QuestionAnsweringParams,
    options={"top_k": "--top-k", "doc_stride": "--stride"},
    example=Example({"question": "Where was Ada Lovelace born?", "context": "Ada Lovelace was born in London."}),
    labelled=LabelledData(
        (
            LabelledColumn("question", (("question", "query"),), required=True),
            LabelledColumn("context", (("context", "passage", "paragraph"), ("document", "text")), required=True),
            LabelledColumn("answers", (("answers",),)),
            LabelledColumn("key", (("id", "key", "qid", "question_id"),)),
        ),
        target="answers",
    ),
    metric=Metric("f1", "F1 (%)", in_percent=True),
    model_kind="Question answering",
)


class QuestionAnswering(Task[QuestionAnsweringParams]):
    """``{"question": str, "context": str}`` -> ``{"score", "start", "end", "answer"}``, or a list of them.

    Start and end count characters of the context. Question and context may also be given as keywords, each a text or
    a list of texts (one context for all questions, too), or as two texts.
    """

    spec = SPEC

    def __call__(
        self, inputs: Any = None, /, *texts: str, question: Any = None, context: Any = None, **params: Any
    ) -> Any:
        """Answer; see :meth:`Task.__call__` and :class:`QuestionAnsweringParams`."""
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
        return super().__call__(_pair_up(question, context), **params)

    @property
    def text_limit(self) -> int:
        """Longest window that tokenizer and model allow."""
        return min(self.tokenizer.model_max_length, self.limit)

    def window_length(self, params: QuestionAnsweringParams) -> int:
        """Tokens of a window under these parameters."""
        return min(params.max_seq_len or 384, self.text_limit)

    def check(self, params: QuestionAnsweringParams) -> None:
        """Check that windows advance."""
        length = self.window_length(params)
        if params.doc_stride is not None and params.doc_stride > length:
            raise InputError(f"doc_stride={params.doc_stride} is longer than a window of {length} tokens.")

    def parse(self, item: Any, where: str, params: QuestionAnsweringParams) -> tuple[str, str]:
        """Return question and context."""
        check_fields(item, ["question", "context"], [], where)
        return check_text(item["question"], f"{where}['question']"), check_text(item["context"], f"{where}['context']")

    def encode(self, items: list[tuple[str, str]], params: QuestionAnsweringParams) -> list[Work]:
        """One sequence a window of the context; each starts with the question."""
        length = self.window_length(params)
        wanted = min(length // 2, 128) if params.doc_stride is None else params.doc_stride
        questions, counts = self._questions(
            [question for question, _ in items], min(params.max_question_len, length * 3 // 4, length - 4)
        )
        by_stride: dict[int, list[int]] = {}  # inputs whose question leaves little room get a smaller stride
        for index, count in enumerate(counts):
            room = length - 3 - count
            by_stride.setdefault(wanted if wanted < room else room // 2, []).append(index)
        works = [Work([]) for _ in items]
        for stride, indices in by_stride.items():
            encodings = self.tokenizer.encode_batch(
                [questions[index] for index in indices],
                [items[index][1] for index in indices],
                truncation="only_second",
                max_length=length,
                stride=stride,
            )
            for index, encoding in zip(indices, encodings, strict=True):
                windows = [encoding, *encoding.overflowing]
                works[index] = Work([list(window.ids) for window in windows], _Context(items[index][1], windows))
        return works

    def _questions(self, questions: list[str], longest: int) -> tuple[list[str], list[int]]:
        """Return the questions, cut after ``longest`` tokens, and the number of tokens of each."""
        counts = [len(ids) for ids in self.tokenizer.encode_ids(questions, None, False)]
        for index, count in enumerate(counts):
            if count > longest:
                offsets = self.tokenizer.encode_batch([questions[index]], add_special_tokens=False)[0].offsets
                questions[index] = questions[index][: offsets[longest - 1][1]]
                counts[index] = longest
        return questions, counts

    def decode(self, work: Work, outputs: list[Outputs], params: QuestionAnsweringParams) -> Any:
        """The best spans of all windows; scores of equal answers (whatever their case) add up."""
        context: _Context = work.context
        candidates = 2 * params.top_k + 10 if params.align_to_words else params.top_k
        answers: dict[str, dict[str, Any]] = {}
        no_answer = 1.0
        for window, output in zip(context.windows, outputs, strict=True):
            allowed = [sequence == 1 for sequence in window.sequence_ids]
            found, null = answer_spans(
                output["start_logits"], output["end_logits"], allowed, candidates, params.max_answer_len
            )
            no_answer = min(no_answer, null)
            words, offsets = window.word_ids, window.offsets
            for first, last, score in found:
                if params.align_to_words:
                    first, last = whole_words(words, allowed, first, last)
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


def _pair_up(question: Any, context: Any) -> Any:
    """Return one dict of two texts, or a list of dicts where the questions are a list."""
    if not isinstance(question, (list, tuple)):
        return {"question": question, "context": context}
    contexts = list(context) if isinstance(context, (list, tuple)) else [context] * len(question)
    if len(contexts) != len(question):
        raise InputError(f"{len(question)} questions need as many contexts, or one for all; got {len(contexts)}.")
    return [{"question": q, "context": c} for q, c in zip(question, contexts, strict=True)]
