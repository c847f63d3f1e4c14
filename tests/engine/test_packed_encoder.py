"""Batches that go through a block in parts: the numbers are those of one part."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.runner_protocol import Batch
from distilbert.engine import packed_encoder
from distilbert.engine.engine_runner import EngineRunner
from distilbert.engine.packed_encoder import cut_parts
from distilbert.engine.quantization import calibrate
from tests.any_cpu import allow_bf16, allow_int8
from tests.tiny import tiny_model

LENGTHS = [3, 0, 20, 7, 1, 1, 23, 5, 11, 2, 0]


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 50))
def test_parts_hold_every_sequence_once(lengths: list[int], tokens: int) -> None:
    offsets = np.cumsum([0, *lengths])
    parts = [(part, sequences.keys) for part, sequences in cut_parts(offsets, tokens)]
    assert [part.start for part, _ in parts] == [0, *(part.stop for part, _ in parts[:-1])]
    assert parts[-1][0].stop == sum(lengths)
    assert np.concatenate([[0], *(part.start + ends[1:] for part, ends in parts)]).tolist() == offsets.tolist()
    for part, ends in parts:
        assert ends[0] == 0
        assert ends[-1] == part.stop - part.start < tokens + max(lengths, default=0) + 1


def test_parts_are_of_about_equal_size() -> None:
    sizes = [part.stop - part.start for part, _ in cut_parts(np.arange(0, 2049, 16), 500)]
    assert sizes == [416, 416, 400, 416, 400]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("head", ["ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"])
@pytest.mark.parametrize("chosen", ["all", "some", "last"])
def test_any_size_of_parts(head: str, precision: str, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (allow_int8 if precision == "int8" else allow_bf16)(monkeypatch)
    monkeypatch.setattr(packed_encoder, "MIN_TOKENS", 0)  # the cache of projections has a part too
    model = tiny_model(head)
    rng = np.random.default_rng(0)
    sequences = [
        rng.integers(1, 97, length).tolist() for length in LENGTHS if length or head != "ForSequenceClassification"
    ]
    quantization = (
        calibrate(model, [Batch.of([s for s in sequences if s])] * 2, "fp32") if precision == "int8" else None
    )
    rows = None
    if chosen != "all" and head != "ForSequenceClassification":
        rows = [list(range(0, len(s), 2)) if chosen == "some" else [] for s in sequences[:-2]] + [[0], []]
    batch = Batch.of(sequences, rows)
    results: list[dict[str, Any]] = []
    for tokens in (1000, 30, 1):
        monkeypatch.setattr(packed_encoder, "PART_TOKENS", tokens)
        results.append(EngineRunner(model, precision, quantization=quantization)(batch))
    for one, other in itertools.pairwise(results):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5)
