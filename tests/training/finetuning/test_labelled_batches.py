"""The steps of fine-tuning: every example once per epoch, in a new order, in sorted micro-batches of bounded size."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.model_checks import IGNORED
from distilbert.data.examples import MULTI
from distilbert.training.finetuning.finetune_config import FinetuneConfig
from distilbert.training.finetuning.finetune_tasks import EncodedExample, labelled_rows
from distilbert.training.finetuning.labelled_batches import LabelledBatches, SequenceMasking
from tests.data.corpora import CLS, MASK, SEP, A, tokenizer

TASKS = ("text-classification", "token-classification", "question-answering", "multiple-choice", "fill-mask")


def config_of(task: str = "text-classification", **changes: Any) -> FinetuneConfig:
    values: dict[str, Any] = {"task": task, "model": "m", "train_data": ["a"], "output": "o"}
    return FinetuneConfig(**(values | changes))


def encoded(number: int, length: int) -> EncodedExample:
    """An example that can be recognised by its target, and by its second id."""
    return EncodedExample(
        (np.array([CLS, A + number % 26, *[A] * (length - 3), SEP]),), number, np.array(number, np.int64)
    )


def batches_of(sizes: list[int], **changes: Any) -> LabelledBatches:
    examples = [encoded(number, size) for number, size in enumerate(sizes)]
    return LabelledBatches(config_of(**changes), examples)


def order(batches: LabelledBatches, step: int, processes: int = 1) -> list[int]:
    """The examples of a step, in the order of its micro-batches, whichever process has them."""
    steps = [batches.step(step, process, processes) for process in range(processes)]
    micro_batches = sorted(chain.from_iterable(step.micro_batches for step in steps), key=attrgetter("number"))
    assert [micro_batch.number for micro_batch in micro_batches] == list(range(len(micro_batches)))
    taken: list[int] = []
    for micro_batch in micro_batches:
        taken += micro_batch.arrays["labels"][micro_batch.arrays["label_weights"] > 0].tolist()
    return taken


@given(
    sizes=st.lists(st.integers(3, 60), min_size=2, max_size=40),
    batch_size=st.integers(1, 17),
    micro_tokens=st.integers(1, 200),
    processes=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_every_example_exactly_once_an_epoch(
    sizes: list[int], batch_size: int, micro_tokens: int, processes: int, epoch: int
) -> None:
    batches = batches_of(sizes, batch_size=batch_size, micro_tokens=micro_tokens)
    assert batches.steps_per_epoch == -(-len(sizes) // batch_size)
    taken: list[int] = []
    for number in range(batches.steps_per_epoch):
        step = epoch * batches.steps_per_epoch + number
        shares = [batches.step(step, process, processes) for process in range(processes)]
        assert all(share.micro_batches for share in shares), "every process has at least one micro-batch"
        parts = [micro_batch.arrays for share in shares for micro_batch in share.micro_batches]
        for arrays in parts:
            lengths = arrays["lengths"].tolist()
            assert lengths == sorted(lengths)
            assert len(arrays["input_ids"]) == sum(lengths)
            # A micro-batch takes the examples whose middle is in its range: at most half an example more each side.
            assert sum(lengths) <= micro_tokens + max(lengths)
        drawn = order(batches, step, processes)
        assert [sizes[index] for index in drawn] == sorted(sizes[index] for index in drawn)
        tokens = sum(sizes[index] for index in drawn)
        assert {share.tokens for share in shares} == {tokens}
        for name in ("label_weight", "teacher_rows"):
            assert sum(share.counts[name] for share in shares) == len(drawn)
        last = number == batches.steps_per_epoch - 1
        assert len(drawn) == (len(sizes) - number * batch_size if last else batch_size)
        taken += drawn
    assert sorted(taken) == list(range(len(sizes)))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    sizes = [3 + number % 5 for number in range(20)]
    plain = [order(batches_of(sizes, batch_size=6), step) for step in range(8)]
    again = batches_of(sizes, batch_size=6)
    assert [order(again, step) for step in (7, 0, 5, 2)] == [plain[step] for step in (7, 0, 5, 2)]
    assert [order(again, step, processes=3) for step in range(8)] == plain
    assert [order(batches_of(sizes, batch_size=6, micro_tokens=9), step) for step in range(8)] == plain
    assert plain[:4] != plain[4:]
    assert [order(batches_of(sizes, batch_size=6, seed=43), step) for step in range(4)] != plain[:4]


def test_how_many_steps() -> None:
    assert batches_of([4] * 10, batch_size=4).steps() == 9
    assert batches_of([4] * 10, batch_size=4, epochs=0.1).steps() == 1
    assert batches_of([4] * 10, batch_size=4, epochs=1.6).steps() == 5
    assert batches_of([4] * 10, batch_size=4, max_steps=7).steps() == 7


def known(task: str, number: int) -> np.ndarray | None:
    values = {
        "token-classification": np.array([IGNORED, 1, IGNORED, 2, IGNORED]),
        "question-answering": np.array([1, 3]),
        "fill-mask": None,
    }
    return values.get(task, np.array(number % 2))


@pytest.mark.parametrize("task", [*TASKS, MULTI])
def test_a_part_without_labels(task: str) -> None:
    """A micro-batch of only unlabelled examples has the usual arrays, and counts in the teacher's loss."""
    ids = np.array([CLS, A, A + 1, A + 2, SEP])
    sequences = (ids, ids) if task == "multiple-choice" else (ids,)
    target = np.array([1, 0, 1], np.float32) if task == MULTI else known(task, 1)
    name = "text-classification" if task == MULTI else task
    starts = np.array([1, 2, 3]) if task == "token-classification" else None
    examples = [
        EncodedExample(sequences, number, target if number == 0 else None, word_starts=starts) for number in range(8)
    ]
    masking = SequenceMasking(tokenizer(), np.r_[np.zeros(5), np.ones(26)]) if task == "fill-mask" else None
    batches = LabelledBatches(config_of(name, batch_size=2, micro_tokens=1), examples, masking=masking)
    shapes, weight = set(), 0.0
    for number in range(4):
        for micro_batch in batches.step(number, 0, 1).micro_batches:
            arrays = micro_batch.arrays
            shapes.add((arrays["labels"].dtype, arrays["labels"].shape[1:]))
            assert len(arrays["labels"]) == len(arrays["label_weights"]) == len(arrays["teacher_mask"])
            assert (arrays["teacher_mask"] == 1).all()
            weight += float(arrays["label_weights"].sum())
    assert len(shapes) == 1
    assert weight == {"token-classification": 2, "fill-mask": 8}.get(task, 1)  # one of three letters is masked


def test_the_tokens_that_tags_are_learned_for() -> None:
    ids = np.array([CLS, A, A + 1, A + 2, SEP])
    assert labelled_rows(EncodedExample((ids,), 0, known("token-classification", 0))).tolist() == [1, 3]
    starts = np.array([1, 2])
    assert labelled_rows(EncodedExample((ids,), 0, word_starts=starts)).tolist() == [1, 2]


def test_rows_of_tags_are_places_among_all_tokens() -> None:
    ids = np.array([CLS, A, A + 1, A + 2, SEP])
    examples = [
        EncodedExample((ids,), 0, known("token-classification", 0)),
        EncodedExample((ids[[0, 1, 4]],), 1, word_starts=np.array([1])),
    ]
    arrays = LabelledBatches(config_of("token-classification"), examples).step(0, 0, 1).micro_batches[0].arrays
    assert arrays["lengths"].tolist() == [3, 5]
    assert arrays["rows"].tolist() == [1, 4, 6]
    assert arrays["labels"].tolist() == [IGNORED, 1, 2]
    assert arrays["label_weights"].tolist() == [0, 1, 1]


def test_masks_are_fresh_each_epoch_and_the_same_on_any_number_of_processes() -> None:
    examples = [EncodedExample((np.array([CLS, *range(A, A + 20), SEP]),), number) for number in range(6)]
    masking = SequenceMasking(tokenizer(), np.r_[np.zeros(5), np.ones(26)])

    def seen(epoch: int, processes: int, seed: int = 42) -> list[list[int]]:
        config = config_of("fill-mask", batch_size=6, micro_tokens=50, seed=seed)
        batches = LabelledBatches(config, examples, masking=masking)
        micro_batches = [
            micro_batch
            for process in range(processes)
            for micro_batch in batches.step(epoch, process, processes).micro_batches
        ]
        rows = []
        for micro_batch in sorted(micro_batches, key=lambda micro_batch: micro_batch.number):
            ids, labels = micro_batch.arrays["input_ids"].copy(), micro_batch.arrays["labels"]
            assert MASK in ids[micro_batch.arrays["rows"]]
            ids[micro_batch.arrays["rows"]] = labels
            assert (ids.reshape(-1, 22) == examples[0].sequences[0]).all(), "labels are what was masked"
            rows += micro_batch.arrays["input_ids"].reshape(-1, 22).tolist()
        return rows

    assert seen(0, 1) == seen(0, 1) == seen(0, 3)
    assert len({tuple(row) for row in seen(0, 1)}) > 3
    assert sorted(seen(0, 1)) != sorted(seen(1, 1))
    assert sorted(seen(0, 1)) != sorted(seen(0, 1, seed=7))
