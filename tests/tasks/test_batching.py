"""Batches: every sequence once, in order, within the budget; only the rows that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.config import DistilBertConfig
from distilbert.core.errors import InputError
from distilbert.core.runner_protocol import Batch
from distilbert.core.schema import HEADS, Head
from distilbert.tasks.batching import (
    BATCH_TOKENS,
    IN_FLIGHT,
    EncodedInput,
    cut_batches,
    default_batch_tokens,
    run_encoded,
)


class EchoRunner:
    """Answers with what it was given: the sum of a sequence, or each token times 10."""

    def __init__(self, head: str, wrong_length: bool = False) -> None:
        self.head: Head = HEADS[head]
        self.config = DistilBertConfig()
        self.batches: list[Batch] = []
        self.wrong_length = wrong_length

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        self.batches.append(batch)
        if self.head.per_token:
            ids = batch.input_ids if batch.rows is None else batch.input_ids[batch.rows]
            logits = ids[:, None] * np.float32(10)
        else:
            ends = batch.offsets
            logits = np.array([[batch.input_ids[a:b].sum()] for a, b in pairwise(ends)], np.float32)
        return {"logits": logits[:-1] if self.wrong_length else logits}


class QueueRunner(EchoRunner):
    """Computes when waited for, as late as a device might, and keeps count of what is queued."""

    batch_tokens = 77

    def __init__(self, head: str) -> None:
        super().__init__(head)
        self.queued: list[Batch] = []
        self.most = 0

    def submit(self, batch: Batch) -> Callable[[], dict[str, np.ndarray]]:
        self.queued.append(batch)
        self.most = max(self.most, len(self.queued))

        def wait() -> dict[str, np.ndarray]:
            assert self.queued.pop(0) is batch, "batches are waited for in order"
            return self(batch)

        return wait


sequences = st.lists(st.integers(1, 9), min_size=1, max_size=12)
ONE_HEAD_OF_EACH_KIND = ("ForSequenceClassification", "ForTokenClassification")
inputs_of_sequences = st.lists(st.lists(sequences, min_size=1, max_size=4), min_size=1, max_size=12)
budgets = st.tuples(st.integers(1, 40), st.none() | st.integers(1, 5))


@given(st.lists(st.integers(1, 30)), budgets)
def test_every_index_once_within_the_budget(lengths: list[int], budget: tuple[int, int | None]) -> None:
    tokens, size = budget
    batches = list(cut_batches(lengths, tokens, size))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) * longest <= tokens or len(batch) == 1
        assert size is None or len(batch) <= size


@given(inputs_of_sequences, budgets)
def test_outputs_come_back_to_their_sequences(items: list[list[list[int]]], budget: tuple[int, int | None]) -> None:
    for runner in (kind(head) for kind in (EchoRunner, QueueRunner) for head in ONE_HEAD_OF_EACH_KIND):
        answers = dict(run_encoded([EncodedInput(item) for item in items], runner, *budget))
        assert sorted(answers) == list(range(len(items)))
        for index, item in enumerate(items):
            for sequence, output in zip(item, answers[index], strict=True):
                expected = [[10 * i] for i in sequence] if runner.head.per_token else [sum(sequence)]
                assert output["logits"].tolist() == expected


@given(inputs_of_sequences, budgets, st.data())
def test_rows_are_split_by_sequence(items: list[list[list[int]]], budget: tuple[int, int | None], data: Any) -> None:
    rows = [[sorted(data.draw(st.sets(st.integers(0, len(s) - 1), min_size=1))) for s in item] for item in items]
    runner = EchoRunner("ForMaskedLM")
    encoded = [EncodedInput(item, rows=row) for item, row in zip(items, rows, strict=True)]
    for index, outputs in run_encoded(encoded, runner, *budget):
        for sequence, row, output in zip(items[index], rows[index], outputs, strict=True):
            assert output["logits"][:, 0].tolist() == [10 * sequence[position] for position in row]


def test_equal_sequences_are_computed_once() -> None:
    runner = EchoRunner("ForSequenceClassification")
    inputs = [EncodedInput([[7, 8], [9]]), EncodedInput([[9]]), EncodedInput([[7, 8]])]
    outputs = {index: [float(each["logits"][0]) for each in answers] for index, answers in run_encoded(inputs, runner)}
    assert outputs == {0: [15, 9], 1: [9], 2: [15]}
    assert sum(len(batch.offsets) - 1 for batch in runner.batches) == 2


def test_equal_sequences_with_other_rows_are_not_the_same() -> None:
    runner = EchoRunner("ForTokenClassification")
    inputs = [EncodedInput([[7, 8]], rows=[[0]]), EncodedInput([[7, 8]], rows=[[1]])]
    outputs = {index: each[0]["logits"].tolist() for index, each in run_encoded(inputs, runner)}
    assert outputs == {0: [[70]], 1: [[80]]}


def test_similar_lengths_share_a_batch() -> None:
    runner = EchoRunner("ForSequenceClassification")
    list(run_encoded([EncodedInput([[id] * n]) for id, n in enumerate((2, 50, 3, 49, 2, 48))], runner, 150))
    assert [batch.lengths.tolist() for batch in runner.batches] == [[50, 49, 48], [3, 2, 2]]


def test_finished_inputs_come_before_the_rest_has_run() -> None:
    runner = EchoRunner("ForSequenceClassification")
    finished = run_encoded([EncodedInput([[1]]), EncodedInput([[1] * 9])], runner, 9)
    assert next(finished)[0] == 1
    assert len(runner.batches) == 1


def test_an_asynchronous_runner_is_kept_busy_but_not_flooded() -> None:
    runner = QueueRunner("ForSequenceClassification")
    finished = run_encoded([EncodedInput([[id] * 9]) for id in range(10)], runner, 9)
    assert len(runner.queued) == IN_FLIGHT, "batches are queued before anything is asked for"
    assert not runner.batches
    assert next(finished)[0] == 0
    assert len(runner.queued) == IN_FLIGHT, "the next one is queued before outputs are turned into answers"
    assert len(list(finished)) == 9
    assert runner.most == IN_FLIGHT


def test_the_runner_says_how_large_batches_are() -> None:
    assert default_batch_tokens(EchoRunner("")) == BATCH_TOKENS
    assert default_batch_tokens(QueueRunner("")) == 77


def test_runner_that_breaks_its_protocol_is_named() -> None:
    runner = EchoRunner("ForSequenceClassification", wrong_length=True)
    with pytest.raises(InputError, match="EchoRunner returned 'logits' with 1 row "):
        list(run_encoded([EncodedInput([[1], [2]])], runner))
