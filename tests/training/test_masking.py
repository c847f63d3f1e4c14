"""Masking: how many tokens are selected, which ones, and what replaces them."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import ConfigError
from distilbert.training.corpus.masking import MaskedSequences, mask_tokens, token_weights
from tests.data.corpora import CLS, MASK, SEP, SPECIAL

V = 97
COUNTS = np.arange(V) ** 2
WEIGHTS = token_weights(COUNTS, SPECIAL)


def mask(
    ids: np.ndarray, weights: np.ndarray = WEIGHTS, seed: int = 0, first: int = 0, **options: object
) -> MaskedSequences:
    return mask_tokens(ids, weights, seed=seed, first=first, mask_token_id=MASK, vocab_size=V, **options)  # type: ignore[arg-type]


def rows(count: int, length: int = 40, seed: int = 0) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(len(SPECIAL), V, (count, length))
    ids[:, 0], ids[:, -1], ids[:, 7] = CLS, SEP, SEP
    return ids


def test_weights_are_smoothed_counts() -> None:
    weights = token_weights(np.array([7, 0, 1, 2, 1000]), [0])
    np.testing.assert_allclose(weights, [0, 1, 1, 2**-0.7, 1000**-0.7], rtol=1e-15)
    assert weights.dtype == np.float64
    np.testing.assert_array_equal(token_weights(np.array([7, 0, 1, 2, 1000]), [2, 3], 0.0), [1, 1, 0, 0, 1])


def test_weights_leave_the_counts_alone() -> None:
    counts = np.array([5, 6])
    token_weights(counts, [0])
    assert counts.tolist() == [5, 6]


@given(st.integers(3, 150), st.sampled_from([0.0, 0.05, 0.07, 0.15, 0.5, 1.0]), st.integers(0, 9))
def test_as_many_as_asked_for_and_no_special_token(length: int, probability: float, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 12, (5, length))
    masked = mask(ids, seed=seed, probability=probability)
    selected = masked.labels != -100
    # Computed from whole percents, which are exact.
    count = math.ceil(round(probability * 100) * length / 100)
    possible = (~np.isin(ids, SPECIAL)).sum(1)
    assert selected.sum(1).tolist() == np.minimum(count, possible).tolist()
    np.testing.assert_array_equal(masked.labels[selected], ids[selected])
    np.testing.assert_array_equal(masked.input_ids[~selected], ids[~selected])
    assert not np.isin(ids[selected], SPECIAL).any()
    assert (masked.input_ids.dtype, masked.labels.dtype) == (np.int64, np.int64)


def test_a_share_is_rounded_up_as_it_is_written() -> None:
    # In floating point, 0.07 * 100 is more than 7 and would be rounded up to 8.
    assert [(mask(rows(1, 100), probability=share).labels != -100).sum() for share in (0.07, 0.071)] == [7, 8]


def test_a_row_of_special_tokens_only() -> None:
    ids = np.array([[CLS, SEP, SEP, SEP]])
    masked = mask(ids, probability=1.0)
    assert masked.input_ids.tolist() == ids.tolist()
    assert masked.labels.tolist() == [[-100] * 4]


def test_the_given_ids_stay_as_they_are() -> None:
    ids = rows(4).astype(np.uint16)
    before = ids.copy()
    mask(ids, probability=1.0)
    np.testing.assert_array_equal(ids, before)


def inclusion(weights: list[float], count: int) -> list[float]:
    """Probability of each item to be among ``count`` items drawn one by one, summed over all orders."""
    chances = [0.0] * len(weights)
    for order in itertools.permutations(range(len(weights)), count):
        chance, left = 1.0, sum(weights)
        for item in order:
            chance, left = chance * weights[item] / left, left - weights[item]
        for item in order:
            chances[item] += chance
    return chances


def test_positions_are_drawn_one_by_one_by_their_weights() -> None:
    row = np.array([CLS, 5, 9, 9, 30, 96, SEP])  # ceil(0.4 * 7) = 3 of five positions
    draws = 40_000
    masked = mask(np.tile(row, (draws, 1)), seed=11, probability=0.4)
    often = (masked.labels != -100).mean(0)
    expected = inclusion([float(WEIGHTS[index]) for index in row[1:-1]], 3)
    assert sum(expected) == pytest.approx(3)
    # Four standard deviations of a share.
    np.testing.assert_allclose(often, [0, *expected, 0], atol=4 * 0.5 / math.sqrt(draws))
    assert expected[0] > 3 * expected[-1]


def test_eighty_ten_ten() -> None:
    ids = rows(4_000)
    masked = mask(ids, seed=5)
    selected = masked.labels != -100
    true, seen = ids[selected], masked.input_ids[selected]
    assert len(true) == 4_000 * 6
    bound = 4 * 0.5 / math.sqrt(len(true))
    # A random id is [MASK] or the original one once in V times.
    assert np.mean(seen == MASK) == pytest.approx(0.8 + 0.1 / V, abs=bound)
    assert np.mean(seen == true) == pytest.approx(0.1 + 0.1 / V, abs=bound)
    others = seen[(seen != MASK) & (seen != true)]
    shares = np.bincount(others, minlength=V) / len(others)
    assert len(shares) == V  # all ids of the vocabulary occur, special tokens included, and no others
    np.testing.assert_allclose(np.delete(shares, MASK), 1 / V, atol=5 * math.sqrt(1 / V / len(others)))


@pytest.mark.parametrize(
    ("split", "kind"), [((1.0, 0.0, 0.0), "mask"), ((0.0, 1.0, 0.0), "random"), ((0, 0, 1), "kept")]
)
def test_each_kind_alone(split: tuple[float, float, float], kind: str) -> None:
    ids = rows(200)
    masked = mask(ids, split=split)
    selected = masked.labels != -100
    seen = masked.input_ids[selected]
    assert selected.sum() == 200 * 6
    if kind == "mask":
        assert (seen == MASK).all()
    elif kind == "kept":
        np.testing.assert_array_equal(masked.input_ids, ids)
    else:
        assert len(np.unique(seen)) > V // 2
        assert np.mean(seen == ids[selected]) < 0.1


@given(st.integers(0, 2**40), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**64 - 1))
def test_a_row_depends_on_its_place_in_the_stream_alone(first: int, sizes: list[int], seed: int) -> None:
    ids = rows(sum(sizes), length=20)
    whole = mask(ids, seed=seed, first=first)
    for index, size in enumerate(sizes):
        start = sum(sizes[:index])
        part = mask(ids[start : start + size], seed=seed, first=first + start)
        np.testing.assert_array_equal(part.input_ids, whole.input_ids[start : start + size])
        np.testing.assert_array_equal(part.labels, whole.labels[start : start + size])


def test_every_place_and_seed_draws_afresh() -> None:
    row = rows(1, length=60)
    labels = [mask(row, seed=seed, first=first).labels.tobytes() for seed in range(5) for first in range(5)]
    assert len(set(labels)) == 25


def test_draws_are_those_of_philox_with_this_key() -> None:
    # Runs of earlier versions are only repeatable if the key of a row never changes.
    ids = rows(3)
    for row, labels in enumerate(mask(ids, seed=12, first=100, probability=0.1).labels):
        generator = np.random.Generator(np.random.Philox(key=[12, 100 + row], counter=[0, 0, 0, 3]))
        with np.errstate(divide="ignore"):
            gumbel = np.log(WEIGHTS[ids[row]]) - np.log(-np.log1p(-generator.random(40)))
        assert sorted(np.argsort(gumbel)[-4:]) == np.flatnonzero(labels != -100).tolist()


@pytest.mark.parametrize(
    "options", [{"probability": -0.1}, {"probability": 15}, {"split": (0.8, 0.1, 0.2)}, {"split": (1.1, -0.1, 0.0)}]
)
def test_what_is_no_probability(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"masking .* got"):
        mask(rows(1), **options)


def test_it_takes_no_time() -> None:
    ids = np.random.default_rng(0).integers(1000, 30_522, (32, 128))
    weights = token_weights(np.ones(30_522), [])
    times = []
    for first in range(20):
        start = time.perf_counter()
        mask_tokens(ids, weights, seed=0, first=first, mask_token_id=103, vocab_size=30_522)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.002
