"""The exact search gives what float64 over all vectors gives, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.embedding import exact_search
from distilbert.embedding.exact_search import nearest, product_error


def by_float64(vectors: np.ndarray, query: np.ndarray, k: int) -> np.ndarray:
    """Positions of the ``k`` largest products, of equal ones the first."""
    return np.argsort(-(vectors.astype(np.float64) @ query.astype(np.float64)), kind="stable")[:k]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 200),
    count=st.integers(1, 5),
    k=st.integers(1, 30),
    blocks=st.integers(1, 4),
    copies=st.integers(1, 40),
    block_rows=st.integers(1, 64),
)
def test_any_blocks(seed: int, rows: int, count: int, k: int, blocks: int, copies: int, block_rows: int) -> None:
    """Many vectors are equal or differ in their last bits only, so that float32 alone would order them by chance."""
    generator = np.random.default_rng(seed)
    vectors = np.repeat(generator.standard_normal((rows, 24)).astype(np.float32), copies, axis=0)[:rows]
    vectors *= 1 + generator.integers(-2, 3, vectors.shape).astype(np.float32) * np.float32(2.0**-23)
    queries = generator.standard_normal((count, 24)).astype(np.float32)
    norm = float(np.linalg.norm(vectors.astype(np.float64), axis=1).max())
    pieces = [piece for piece in np.array_split(vectors, blocks) if len(piece)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "BLOCK_ROWS", block_rows)
        results = nearest(pieces, queries, k, norm)
        allowed = generator.random(rows) < 0.5
        filtered = nearest(pieces, queries, k, norm, allowed)
    for query, found, few in zip(queries, results, filtered, strict=True):
        assert found.positions.tolist() == by_float64(vectors, query, k).tolist()
        places = np.flatnonzero(allowed)
        assert few.positions.tolist() == places[by_float64(vectors[places], query, k)].tolist()
        expected = vectors[found.positions].astype(np.float64) @ query.astype(np.float64)
        np.testing.assert_allclose(found.scores, expected, rtol=1e-12, atol=1e-12)


def test_more_queries_than_are_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_search, "QUERIES", 3)
    generator = np.random.default_rng(1)
    vectors, queries = generator.standard_normal((2, 50, 8)).astype(np.float32)
    results = nearest([vectors], queries, 4, 10.0)
    assert len(results) == 50
    for query, found in zip(queries, results, strict=True):
        assert found.positions.tolist() == by_float64(vectors, query, 4).tolist()


def test_the_error_of_a_product_has_a_bound() -> None:
    """A sum in float32 in the worst order, one number after the other, stays within the bound that is used."""
    generator = np.random.default_rng(2)
    worst = 0.0
    for _ in range(200):
        a, b = generator.standard_normal((2, 384)).astype(np.float32)
        total = np.float32(0)
        for product in a * b:
            total += product
        exact = float(a.astype(np.float64) @ b.astype(np.float64))
        bound = product_error(b[None], float(np.linalg.norm(a.astype(np.float64))))[0]
        worst = max(worst, abs(float(total) - exact) / bound)
    assert 0 < worst < 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    vectors = np.ones((10, 4), dtype=np.float32)
    vectors[3, 2] = value
    for queries in (np.ones((1, 4), dtype=np.float32), np.ones((3, 4), dtype=np.float32)):
        with pytest.raises(DataError, match="not finite, so it is damaged"):
            nearest([vectors], queries, 2, 2.0)
