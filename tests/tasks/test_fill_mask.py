"""Filling masks: joint scores against every combination, targets, only the rows that are needed."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.tasks.scores import softmax

TEXT = "The [MASK] of Paris is [MASK]."


@pytest.fixture(scope="module")
def task(make_task: Any) -> Any:
    return make_task("fill-mask", "masked-lm")


def test_joint_score_is_p_a_times_p_b_given_a(task: Any) -> None:
    targets = ["city", "sea", "big", "new"]
    ids = task.tokenizer.encode_ids([TEXT])[0]
    first, second = (i for i, token in enumerate(ids) if token == task.tokenizer.mask_token_id)

    def scores(sequence: list[int], row: int) -> Any:
        return softmax(task.runner(Batch.of([sequence], [[row]]))["logits"])[0]

    expected = {}
    for a in targets:
        i = task.tokenizer.convert_tokens_to_ids(a)
        filled = [*ids[:first], i, *ids[first + 1 :]]
        for b in targets:
            j = task.tokenizer.convert_tokens_to_ids(b)
            expected[a, b] = float(scores(ids, first)[i] * scores(filled, second)[j])
    proposals = task(TEXT, joint=True, targets=targets, top_k=16)
    assert {tuple(row["token_str"]): row["score"] for row in proposals} == pytest.approx(expected, rel=1e-4)
    assert [row["score"] for row in proposals] == sorted(expected.values(), reverse=True) or np.allclose(
        [row["score"] for row in proposals], sorted(expected.values(), reverse=True), rtol=1e-4
    )
    a, b = proposals[0]["token_str"]
    assert proposals[0]["sequence"] == f"the {a} of paris is {b}."


def test_joint_with_one_mask_is_the_usual_answer(task: Any) -> None:
    usual, joint = task("I [MASK] it."), task("I [MASK] it.", joint=True)
    assert [[row["token"]] for row in usual] == [row["token"] for row in joint]
    assert [row["score"] for row in usual] == pytest.approx([row["score"] for row in joint])


def test_mask_itself_may_be_proposed(task: Any) -> None:
    proposals = task(TEXT, joint=True, targets=["[MASK]"])
    assert [row["token_str"] for row in proposals] == [["[MASK]", "[MASK]"]]


def test_joint_batch(task: Any) -> None:
    together = task([TEXT, "[MASK]", "a [MASK] [MASK] [MASK]"], joint=True, top_k=2)
    assert [len(rows[0]["token"]) for rows in together] == [2, 1, 3]
    assert [row["token"] for row in task(TEXT, joint=True, top_k=2)] == [row["token"] for row in together[0]]


def test_only_masks_are_projected(task: Any, make_task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Spy:
        head, config = task.runner.head, task.runner.config

        def __call__(self, batch: Batch) -> Any:
            seen.append(batch.rows)
            return task.runner(batch)

    monkeypatch.setattr(other := make_task("fill-mask", "masked-lm"), "runner", Spy())
    other([TEXT, "[MASK] is"])
    assert sum(len(rows) for rows in seen) == 3


def test_targets(task: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        proposals = task("I [MASK] it.", targets=["love", "Kingston", "hate", "love"])
    assert {row["token_str"] for row in proposals} <= {"love", "hate", "k"}
    assert len(proposals) == 3
    assert "'Kingston' is not in the vocabulary; 'k' stands for it" in caplog.text
    with pytest.raises(InputError, match="None of the targets"):
        task("I [MASK] it.", targets=[" "])


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("no mask", {}, r"The input has no \[MASK\] to fill in: 'no mask'"),
        ("[MASK]", {"top_k": 0}, "top_k"),
        ("[MASK]", {"targets": []}, "targets must be a list of one or more texts"),
        ("[MASK]", {"tokenizer_kwargs": {"truncation": "left"}}, "truncation must be one of"),
    ],
)
def test_messages(task: Any, text: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task(text, **params)
