"""The cached projections of the first block, against projections that are multiplied for each token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from distilbert.engine import projection_cache
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import EmbeddingWeights, LayerNormWeights, Operations, PlainOperations
from distilbert.engine.products import Product, float_product
from distilbert.engine.projection_cache import ProjectionCache

WORDS, POSITIONS, DIM, WIDTH = 300, 40, 64, 96


class Case:
    """Embeddings and projections. The words have means far from 0, as those of trained models have."""

    def __init__(self, dtype: torch.dtype, operations: Operations) -> None:
        generator = torch.Generator().manual_seed(0)
        words, positions = (torch.randn(rows, DIM, generator=generator) * 0.05 for rows in (WORDS, POSITIONS))
        norm = LayerNormWeights(*torch.randn(2, DIM, generator=generator))
        self.embeddings = EmbeddingWeights((words - 0.03).to(dtype), positions.to(dtype), norm)
        self.weight = torch.randn(WIDTH, DIM, generator=generator) / 8
        self.bias = torch.randn(WIDTH, generator=generator)
        self.cache = ProjectionCache(self.embeddings, self.weight, self.bias, operations)

    def check(self, ids: Tensor, tolerance: float) -> None:
        position_ids = torch.arange(len(ids)) % POSITIONS
        expected, _ = PlainOperations().embed_norm(ids, position_ids, self.embeddings, None)
        x, qkv = self.cache(ids, position_ids)
        torch.testing.assert_close(x.float(), expected.float(), rtol=tolerance, atol=tolerance)
        product = expected.float() @ self.weight.T + self.bias
        torch.testing.assert_close(qkv.float(), product, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("operations", [load_operations(), PlainOperations()], ids=["compiled", "plain"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 6e-2)])
def test_the_same_as_a_product(operations: Operations, dtype: torch.dtype, tolerance: float) -> None:
    case = Case(dtype, operations)
    for ids in ([7], [7, 7, 8], [], list(range(299, 200, -1)), [8, 250, 0]):
        case.check(torch.tensor(ids, dtype=torch.int64), tolerance)


def test_a_word_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def counting_product(*arguments: object) -> Product:
        product = float_product(*arguments)  # type: ignore[arg-type]

        def multiply(x: Tensor) -> Tensor:
            computed.append(len(x))
            return product(x)

        return multiply  # type: ignore[return-value]

    monkeypatch.setattr(projection_cache, "float_product", counting_product)
    case = Case(torch.float32, load_operations())
    for ids in ([5, 5, 6], [6, 5], [5, 9, 9]):
        case.check(torch.tensor(ids), 2e-5)
    assert computed == [POSITIONS, 2, 1]
    assert len(case.cache) == 3


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_cache, "CAPACITY", 10)
    case = Case(torch.float32, load_operations())
    for start in (0, 8, 100, 0):
        case.check(torch.arange(start, start + 8), 2e-5)
        assert len(case.cache) == 8
    case.check(torch.arange(50), 2e-5)  # more words than the cache has room for
    assert len(case.cache) == 50


def test_calls_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_cache, "CAPACITY", 20)
    case = Case(torch.float32, load_operations())
    batches = [torch.randint(0, WORDS, (15,), generator=torch.Generator().manual_seed(seed)) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda ids: case.check(ids, 2e-5), batches))
