"""Text classification: the shapes that transformers has, and messages for what cannot work."""

from __future__ import annotations

from typing import Any

import pytest

from distilbert.core.errors import InputError


@pytest.fixture(scope="module")
def task(make_task: Any) -> Any:
    return make_task("sentiment-analysis", "labels")


def test_shapes(task: Any, make_task: Any) -> None:
    answer = task("I love it")
    assert isinstance(answer, list)
    assert set(answer[0]) == {"label", "score"}
    assert task(["I love it"]) == answer
    assert task("I love it", top_k=1) == answer
    assert task({"text": "I love it"}) == answer[0]
    assert [len(row) for row in task(["a", "b"], top_k=2)] == [2, 2]
    assert make_task("text-classification", "labels", top_k=None)("I love it") == [task("I love it", top_k=None)]
    assert [row["label"] for row in task("I", return_all_scores=True)[0]] == list(task.config.label2id)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"top_k": 0}, "top_k must be an integer of at least 1 or None, got 0"),
        ({"function_to_apply": "sofmax"}, "Did you mean 'softmax'"),
        ({"aggregation": "median"}, "aggregation must be one of 'mean', 'max', 'first', got 'median'"),
        ({"truncation": "longest"}, "Did you mean 'longest_first'"),
        ({"max_length": 2}, "max_length must be an integer of at least 4"),
    ],
)
def test_bad_parameters(task: Any, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task("x", **params)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (None, "The input must be a str, got None of type NoneType"),
        ("", "The input is an empty text"),
        (("a", "b"), r'give a pair as \{"text": ..., "text_pair": ...\}'),
        ({"text": "a", "txt_pair": "b"}, "unknown field 'txt_pair'.*Did you mean 'text_pair'"),
        ({"text_pair": "b"}, "lacks the field 'text'"),
        ({"text": "a", "text_pair": 3}, r"The input\['text_pair'\] must be a str, got 3"),
    ],
)
def test_bad_inputs(task: Any, item: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(item)


def test_pair_of_none_is_a_single_text(task: Any) -> None:
    assert task({"text": "a", "text_pair": None}) == task({"text": "a"})


def test_second_texts_beside_the_first(make_task: Any) -> None:
    task = make_task("text-classification", "labels")
    pairs = [{"text": "a film", "text_pair": "the sea"}, {"text": "a book", "text_pair": "the rain"}]
    assert task("a film", text_pair="the sea") == [task(pairs[0])]
    assert task("a film", text_pair="the sea", top_k=2) == task(pairs[0], top_k=2)
    assert task(["a film", "a book"], text_pair=["the sea", "the rain"]) == task(pairs)
    assert task(["a film"], text_pair=["the sea"], top_k=None) == task(pairs[:1], top_k=None)
    assert task("a film", text_pair=None) == task("a film")
    assert task("", text_pair="the sea", on_error="null") is None
    for texts, seconds in ((["a"], "b"), ("a", ["b"]), (["a", "b"], ["c"]), ({"text": "a"}, "b"), ("a", 3)):
        with pytest.raises(InputError, match="text_pair goes with one text as a second one, or with a list"):
            task(texts, text_pair=seconds)
