"""Span selection against a plain search over all spans, and the ways to ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.tasks.question_answering import best_spans
from distilbert.tasks.scores import softmax


@given(st.integers(2, 20), st.integers(1, 25), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_spans_are_the_best_of_all(size: int, longest: int, count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    start, end = generator.standard_normal((2, size)).astype(np.float32)
    allowed = [False, *(generator.random(size - 1) < 0.7)]
    spans, no_answer = best_spans(start, end, allowed, count, longest)
    in_softmax = np.array([True, *allowed[1:]])
    p, q = softmax(np.where(in_softmax, start, -1e4)), softmax(np.where(in_softmax, end, -1e4))
    all_spans = [
        (i, j, float(p[i] * q[j]))
        for i in range(size)
        for j in range(i, min(size, i + longest))
        if allowed[i] and allowed[j]
    ]
    all_spans.sort(key=lambda span: -span[2])
    assert no_answer == pytest.approx(float(p[0] * q[0]))
    assert len(spans) == min(count, len(all_spans))
    assert [score for *_, score in spans] == pytest.approx([score for *_, score in all_spans[:count]], rel=1e-4)
    assert {(i, j) for i, j, _ in spans} <= {(i, j) for i, j, _ in all_spans}


@pytest.fixture(scope="module")
def task(make_task: Any) -> Any:
    return make_task("question-answering", "answers")


def test_ways_to_ask(task: Any) -> None:
    answer = task({"question": "Who?", "context": "Mary and John"})
    assert task(question="Who?", context="Mary and John") == answer
    assert task("Who?", "Mary and John") == answer
    assert task([{"question": "Who?", "context": "Mary and John"}]) == [answer]
    assert task(question=["Who?", "Who?"], context="Mary and John") == [answer, answer]
    assert task(question=["Who?"], context=["Mary and John"]) == [answer]
    assert set(answer) == {"score", "start", "end", "answer"}


def test_lists_of_questions_and_contexts(task: Any) -> None:
    contexts = ["Mary and John", "Anna was here. " * 30, "Rome"]
    expected = [task("Who?", context) for context in contexts]
    assert task(question="Who?", context=contexts) == expected
    assert task(question=["Who?"] * 3, context=tuple(contexts)) == expected
    assert task(question="Who?", context=np.array(contexts)) == expected
    assert task({"question": "Who?", "context": contexts}) == expected, "one input with lists gives a list"
    assert task([{"question": "Who?", "context": contexts}, {"question": "Who?", "context": "Rome"}]) == [
        expected,
        expected[-1],
    ]
    assert task(question="Who?", context=["Rome"]) == expected[-1:]
    assert task({"question": ["Who?", "Where?"], "context": "Rome"}, top_k=2) == [
        task("Who?", "Rome", top_k=2),
        task("Where?", "Rome", top_k=2),
    ]


def test_top_k_above_one_always_gives_a_list(task: Any) -> None:
    assert [answer["answer"] for answer in task("Who?", "Mary", top_k=3)] == ["Mary"]


def test_nothing_to_answer_with(task: Any) -> None:
    assert task("Who?", " ") == {"score": 0.0, "start": 0, "end": 0, "answer": ""}
    assert task("Who?", " ", handle_impossible_answer=True)["answer"] == ""


def test_words_are_whole(task: Any) -> None:
    context = "Kingstonville Maryland"
    for answer in task("Where?", context, top_k=20):
        assert answer["answer"] in ("Kingstonville", "Maryland", context)
    pieces = task("Where?", context, top_k=20, align_to_words=False)
    assert any(answer["answer"] not in ("Kingstonville", "Maryland", context) for answer in pieces)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (((), {"question": "a"}), "needs both question= and context="),
        ((({"question": "a", "context": "b"},), {"context": "c"}), "not both"),
        ((("a", "b", "c"), {}), "more was given"),
        (
            ((), {"question": ["a", "b"], "context": ["c"]}),
            "has 2 questions and 1 contexts; give as many contexts as questions",
        ),
        (((), {"question": [], "context": "c"}), "has 0 questions and 0 contexts"),
        ((({"question": ["a", "b"], "context": ["c"] * 3},), {}), "has 2 questions and 3 contexts"),
        ((({"question": "a", "context": ["b", ""]},), {}), r"\['context'\] is an empty text"),
        ((({"question": "a"},), {}), "lacks the field 'context'"),
        (((), {"question": "", "context": "c"}), r"\['question'\] is an empty text"),
        ((("a", "b"), {"top_k": 0}), "top_k must be an integer of at least 1"),
        ((("a", "b"), {"doc_stride": 65}), "doc_stride=65 is longer than a window of 64"),
        ((("a", "b"), {"max_seq_len": 4}), "max_seq_len must be an integer of at least 5"),
    ],
)
def test_messages(task: Any, call: tuple[tuple[Any, ...], dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(*call[0], **call[1])
