"""Features and similarities: no padding, pooling, joining of windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import InputError
from distilbert.tasks.pooling import join_windows, normalize, pool
from distilbert.text.truncation import window_spans


@given(st.integers(1, 60), st.integers(2, 15), st.data())
def test_stitching_gives_every_token_once(length: int, room: int, data: Any) -> None:
    stride = data.draw(st.integers(0, room - 1))
    text = np.arange(length)
    windows = [np.array([-1, *text[a:b], -2])[:, None] for a, b in window_spans(length, room, stride)]
    assert join_windows(windows, stride)[:, 0].tolist() == [-1, *range(length), -2]


def test_a_shared_token_comes_from_where_it_is_farther_from_the_edge() -> None:
    first, second = np.zeros((8, 1)), np.ones((8, 1))  # 6 tokens each, 4 of them shared
    assert join_windows([first, second], 4)[:, 0].tolist() == [0] * 5 + [1] * 5


def test_pooling_by_hand() -> None:
    states = np.array([[1.0, 0], [3, 4]])
    assert pool([states], "mean", 0).tolist() == [2, 2]
    assert pool([states], "cls", 0).tolist() == [1, 0]
    assert pool([states, np.array([[4.0, 3]] * 6)], "cls", 0).tolist() == [3.25, 2.25]
    assert normalize(np.array([[3.0, 4], [0, 0]])).tolist() == [[0.6, 0.8], [0, 0]]


def test_features_have_no_padding(make_task: Any) -> None:
    task = make_task("feature-extraction", "encoder")
    short, long = task(["a", "the big sea in france"])
    assert [len(short[0]), len(long[0])] == [3, 7]
    array = task("a", return_tensors=True)
    assert array.dtype == np.float32
    assert np.allclose(array, short, atol=1e-6)
    assert np.allclose(task("a", pooling="mean"), array[0].mean(axis=0), atol=1e-6)
    assert np.allclose(task("a", pooling="cls"), array[0, 0], atol=1e-6)
    assert np.linalg.norm(task("a", pooling="cls", normalize=True)) == pytest.approx(1)
    assert np.allclose(np.linalg.norm(task("a", normalize=True)[0], axis=-1), 1)


def test_features_ignore_a_head(make_task: Any) -> None:
    assert make_task("feature-extraction", "entities")("a sea")[0][0]


def test_similarity(make_task: Any) -> None:
    task, features = make_task("sentence-similarity", "encoder"), make_task("feature-extraction", "encoder")
    texts = ["I love music", "she likes films", "the river"]
    for pooling in ("mean", "cls"):
        source, *others = (np.array(features(text, pooling=pooling, normalize=True)) for text in texts)
        found = task({"source_sentence": texts[0], "sentences": texts[1:]}, pooling=pooling)
        assert found == pytest.approx([float(source @ other) for other in others], abs=1e-5)
    pair = task((texts[0], texts[1]))
    assert pair == task({"text": texts[0], "text_pair": texts[1]})
    assert task([(texts[0], texts[1]), (texts[0], texts[0])]) == pytest.approx([pair, 1.0], abs=1e-5)
    with pytest.raises(InputError, match="pair of texts, got 3 entries"):
        task(("a", "b", "c"))
    with pytest.raises(InputError, match=r"\['sentences'\] must be a list"):
        task({"source_sentence": "a", "sentences": "b"})


def test_choices(make_task: Any) -> None:
    task = make_task("multiple-choice", "choices")
    item = {"context": "John made a film.", "question": "Who?", "choices": ["John", "Mary", "the sea"]}
    answer = task(item)
    assert answer["answer"] == item["choices"][answer["index"]]
    assert sum(answer["scores"]) == pytest.approx(1)
    assert answer["index"] == int(np.argmax(answer["scores"]))
    ids = [task.tokenizer.encode_ids(["John made a film."], [f"Who? {choice}"])[0] for choice in item["choices"]]
    assert [encoded.sequences for encoded in task.encode([task.parse(item, "", task.params)], task.params)] == [ids]
    for bad, message in (
        ({"choices": ["a"]}, "needs a 'context', a 'question' or both"),
        ({"context": "a", "choices": []}, "one or more texts"),
        ({"context": "a", "choices": ["a", ""]}, r"\['choices'\]\[1\] is an empty text"),
        ({"context": "a", "choice": ["a"]}, "Did you mean 'choices'"),
    ):
        with pytest.raises(InputError, match=message):
            task(bad)
