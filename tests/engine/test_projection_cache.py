"""The cached projections of the first block, against projections that are multiplied for each token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from distilbert.engine import projection_cache
from distilbert.engine.kernel_library import load_operations
from distilbert.engine.operations import BF16, FP32, EmbeddingWeights, LayerNormWeights, Operations, PlainOperations
from distilbert.engine.products import LinearMap, float_map
from distilbert.engine.projection_cache import ProjectionCache

WORDS, POSITIONS, DIM, WIDTH = 300, 40, 64, 96


class Case:
    """Embeddings and projections. The words have means far from 0, as those of trained models have."""

    def __init__(self, dtype: np.dtype[Any], operations: Operations) -> None:
        normal = np.random.default_rng(0).standard_normal
        words, positions = (normal((rows, DIM), np.float32) * np.float32(0.05) for rows in (WORDS, POSITIONS))
        norm = LayerNormWeights(*normal((2, DIM), np.float32))
        self.embeddings = EmbeddingWeights((words - np.float32(0.03)).astype(dtype), positions.astype(dtype), norm)
        self.weight = normal((WIDTH, DIM), np.float32) / 8
        self.bias = normal(WIDTH, np.float32)
        self.project = float_map(self.weight, self.bias, dtype, operations)
        self.cache = ProjectionCache(self.embeddings, self.project)

    def check(self, ids: np.ndarray, tolerance: float) -> None:
        position_ids = np.arange(len(ids)) % POSITIONS
        expected, _ = PlainOperations().embed_norm(ids, position_ids, self.embeddings, None)
        x, qkv = (array.astype(np.float32) for array in self.cache(ids, position_ids))
        np.testing.assert_allclose(x, expected.astype(np.float32), rtol=tolerance, atol=tolerance)
        product = expected.astype(np.float32) @ self.weight.T + self.bias
        np.testing.assert_allclose(qkv, product, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("operations", [load_operations(), PlainOperations()], ids=["compiled", "plain"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(FP32, 2e-5), (BF16, 6e-2)])
def test_the_same_as_a_product(operations: Operations, dtype: np.dtype[Any], tolerance: float) -> None:
    case = Case(dtype, operations)
    for ids in ([7], [7, 7, 8], [], list(range(299, 200, -1)), [8, 250, 0]):
        case.check(np.array(ids, np.int64), tolerance)


def test_a_word_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    multiply = LinearMap.__call__

    def counting(linear: LinearMap, x: np.ndarray) -> np.ndarray:
        computed.append(len(x))
        return multiply(linear, x)

    case = Case(FP32, load_operations())
    monkeypatch.setattr(LinearMap, "__call__", counting)
    assert not computed  # nothing is computed before the first batch
    for ids in ([5, 5, 6], [6, 5], [5, 9, 9]):
        case.check(np.array(ids), 2e-5)
    assert computed == [POSITIONS, 1, 2, 1]  # 1 is the bias
    assert len(case.cache) == 3


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_cache, "MOST_BYTES", 10 * WIDTH * 4)
    case = Case(FP32, load_operations())
    for start in (0, 8, 100, 0):
        case.check(np.arange(start, start + 8), 2e-5)
        assert len(case.cache) == 8
    case.check(np.arange(50), 2e-5)  # more words than the cache has room for
    assert len(case.cache) == 50


def test_calls_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_cache, "MOST_BYTES", 20 * WIDTH * 4)
    case = Case(FP32, load_operations())
    batches = [np.random.default_rng(seed).integers(0, WORDS, 15) for seed in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda ids: case.check(ids, 2e-5), batches))
