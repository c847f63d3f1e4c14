"""Multiple choice: the likeliest choice, the pairs that the model reads, and messages for what cannot work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError


def test_an_answer_is_the_likeliest_choice(make_task: Any) -> None:
    task = make_task("multiple-choice", "choices")
    item = {"context": "John made a film.", "question": "Who?", "choices": ["John", "Mary", "the sea"]}
    answer = task(item)
    assert answer["answer"] == item["choices"][answer["index"]]
    assert sum(answer["scores"]) == pytest.approx(1)
    assert answer["index"] == int(np.argmax(answer["scores"]))
    ids = [task.tokenizer.encode_ids(["John made a film."], [f"Who? {choice}"])[0] for choice in item["choices"]]
    assert [encoded.sequences for encoded in task.encode([task.parse(item, "", task.params)], task.params)] == [ids]


@pytest.mark.parametrize("question", ["Who made it?", ""])
def test_a_model_without_a_head_compares_vectors(make_task: Any, question: str) -> None:
    task, embed = make_task("multiple-choice", "encoder"), make_task("feature-extraction", "encoder")
    item = {"context": "John made a film.", "question": question, "choices": ["John", "Mary", "the sea " * 100]}
    whole = f"John made a film. {question}".strip()
    ends = item["choices"] if question else [f"{whole} {choice}" for choice in item["choices"]]
    vectors = np.array(embed([whole, *ends[:2]], pooling="mean", normalize=True))
    cosines = 20 * vectors[1:] @ vectors[0]
    answer = task(item)
    assert sum(answer["scores"]) == pytest.approx(1)
    assert np.log(answer["scores"][0] / answer["scores"][1]) == pytest.approx(cosines[0] - cosines[1], abs=1e-3)
    assert answer["answer"] == item["choices"][int(np.argmax(answer["scores"]))]
    assert task([item, item]) == [answer, answer]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"choices": ["a"]}, "needs a 'context', a 'question' or both"),
        ({"context": "a", "choices": []}, "one or more texts"),
        ({"context": "a", "choices": ["a", ""]}, r"\['choices'\]\[1\] is an empty text"),
        ({"context": "a", "choice": ["a"]}, "Did you mean 'choices'"),
    ],
)
def test_messages(make_task: Any, item: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_task("multiple-choice", "choices")(item)
