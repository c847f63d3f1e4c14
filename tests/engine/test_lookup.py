"""The projections that are looked up, against those that are multiplied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from distilbert.engine import lookup
from distilbert.engine.library import operations
from distilbert.engine.lookup import FirstProjections
from distilbert.engine.operations import Embeddings, Norm, Operations, PlainOperations

WORDS, POSITIONS, DIM, WIDTH = 300, 40, 64, 96


class Case:
    """Embeddings, projections, and what both give by a product; words have means far from 0, as real ones have."""

    def __init__(self, dtype: torch.dtype, operations: Operations) -> None:
        generator = torch.Generator().manual_seed(0)
        words, positions = (torch.randn(rows, DIM, generator=generator) * 0.05 for rows in (WORDS, POSITIONS))
        norm = Norm(*torch.randn(2, DIM, generator=generator))
        self.embeddings = Embeddings((words - 0.03).to(dtype), positions.to(dtype), norm)
        self.weight, self.bias = (
            torch.randn(WIDTH, DIM, generator=generator) / 8,
            torch.randn(WIDTH, generator=generator),
        )
        self.first = FirstProjections(self.embeddings, self.weight, self.bias, operations)

    def check(self, ids: Tensor, close: float) -> None:
        places = torch.arange(len(ids)) % POSITIONS
        wanted, _ = PlainOperations().embed_norm(ids, places, self.embeddings, None)
        x, qkv = self.first(ids, places)
        torch.testing.assert_close(x.float(), wanted.float(), rtol=close, atol=close)
        product = wanted.float() @ self.weight.T + self.bias
        torch.testing.assert_close(qkv.float(), product, rtol=close, atol=close)


@pytest.mark.parametrize("ways", [operations(), PlainOperations()], ids=["compiled", "plain"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-5), (torch.bfloat16, 6e-2)])
def test_the_same_as_a_product(ways: Operations, dtype: torch.dtype, close: float) -> None:
    case = Case(dtype, ways)
    for ids in ([7], [7, 7, 8], [], list(range(299, 200, -1)), [8, 250, 0]):
        case.check(torch.tensor(ids, dtype=torch.int64), close)


def test_a_word_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(torch.float32, operations())
    computed: list[int] = []
    product = case.first._product
    monkeypatch.setattr(case.first, "_product", lambda x: computed.append(len(x)) or product(x))
    for ids in ([5, 5, 6], [6, 5], [5, 9, 9]):
        case.check(torch.tensor(ids), 2e-5)
    assert computed == [2, 1]


def test_a_full_table_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "CAPACITY", 10)
    case = Case(torch.float32, operations())
    for start in (0, 8, 100, 0):
        case.check(torch.arange(start, start + 8), 2e-5)
        assert case.first._filled == 8
    case.check(torch.arange(50), 2e-5)  # more words than the table has room for
    assert case.first._filled == 50


def test_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "CAPACITY", 20)
    case = Case(torch.float32, operations())
    batches = [torch.randint(0, WORDS, (15,), generator=torch.Generator().manual_seed(seed)) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda ids: case.check(ids, 2e-5), batches))
