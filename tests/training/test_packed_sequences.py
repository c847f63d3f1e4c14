"""Packing and the held-out part: no token is lost or added, and every order is repeatable."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import ConfigError, DataError
from distilbert.training.corpus import packed_sequences
from distilbert.training.corpus.packed_sequences import CorpusSplit, PackedSequences, split_corpus
from distilbert.training.corpus.token_cache import TokenCache
from tests.data.corpora import CLS, SEP, VOCAB, Documents, contents, ids, stream, windows

THREE = [["abcde"], ["fg"], ["hij", "kl"]]  # with a [SEP] after each: 6 + 3 + 6 = 15 tokens


def pack(tokens: list[int], spans: list[tuple[int, int]] | None = None, **options: Any) -> PackedSequences:
    bounds = np.array([(0, len(tokens))] if spans is None else spans, np.int64)
    options = {"length": 6, "cls_token_id": CLS, "sep_token_id": SEP, **options}
    return PackedSequences(np.array(tokens, np.uint16), bounds, **options)


def cache_of(documents: Documents) -> TokenCache:
    tokens = np.array(stream(documents), np.uint16)
    ends = np.cumsum([len(stream([document])) for document in documents]).astype(np.int64)
    return TokenCache(tokens, ends, np.bincount(tokens, minlength=len(VOCAB)), "made by hand")


def halves(documents: Documents, length: int = 6, seed: int = 0, **options: Any) -> CorpusSplit:
    return split_corpus(cache_of(documents), length=length, cls_token_id=CLS, sep_token_id=SEP, seed=seed, **options)


# Packing.


def test_three_documents_by_hand() -> None:
    packed = pack(stream(THREE), shuffle=False)
    assert packed.take(0, 3).tolist() == [ids("<abcd."), ids("<e.fg."), ids("<.hij.")]
    assert (len(packed), packed.length, packed.left_out) == (3, 6, 3)  # k, l and the last [SEP]
    assert packed.take(4, 1).tolist() == [ids("<e.fg.")]  # the next epoch


def test_spans_are_read_end_to_end() -> None:
    packed = pack(stream(THREE), [(1, 4), (6, 8), (10, 14)], shuffle=False)
    assert packed.take(0, 2).tolist() == [ids("<bcdf."), ids("<gijk.")]
    assert packed.left_out == 1


def test_a_limit_counts_what_it_leaves_out() -> None:
    packed = pack(stream(THREE), shuffle=False, limit=2)
    assert (len(packed), packed.left_out) == (2, 7)
    assert packed.take(1, 2).tolist() == [ids("<e.fg."), ids("<abcd.")]


@given(st.integers(1, 40), st.integers(3, 9), st.integers(0, 2**64 - 1), st.integers(0, 5))
def test_each_epoch_is_a_permutation(count: int, length: int, seed: int, epoch: int) -> None:
    inner = length - 2
    tokens = list(range(count * inner + inner - 1))
    rows = contents(pack(tokens, length=length, seed=seed), epoch * count, count)
    assert sorted(rows) == [tuple(range(place * inner, (place + 1) * inner)) for place in range(count)]
    assert rows == contents(pack(tokens, length=length, seed=seed), epoch * count, count)


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = [contents(pack(list(range(400)), seed=seed), 100 * epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(map(tuple, orders))) == 4
    assert contents(pack(list(range(400)), shuffle=False), 0, 100) not in orders


@given(st.integers(0, 30), st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 9))
def test_batches_of_any_size_give_the_same_stream(start: int, sizes: list[int], seed: int) -> None:
    whole = contents(pack(list(range(30)), seed=seed), start, sum(sizes))
    again = pack(list(range(30)), seed=seed)
    for index in reversed(range(len(sizes))):  # in any order of calls
        place = sum(sizes[:index])
        assert contents(again, start + place, sizes[index]) == whole[place : place + sizes[index]]


def test_positions_before_the_stream_are_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="position -1"):
        pack(stream(THREE)).take(-1, 1)


# The held-out part.

texts = st.lists(st.text("abcdefgh", max_size=40).map(lambda letters: [letters]), min_size=1, max_size=30)


@given(texts, st.integers(3, 9), st.sampled_from([0.0, 0.005, 0.1, 0.3]))
def test_no_token_is_lost_or_invented(documents: Documents, length: int, share: float) -> None:
    # Numbers instead of letters, so that all tokens of the corpus are different.
    cache = cache_of(documents)
    numbered = TokenCache(np.arange(len(cache.tokens)), cache.ends, cache.counts, "")
    inner, total = length - 2, len(cache.tokens)
    options = {"length": length, "cls_token_id": CLS, "sep_token_id": SEP, "seed": 3, "held_out": share}
    try:
        parts = split_corpus(numbered, **options)
    except DataError:
        assert total < 3 * inner or share > 0.1
        return
    seen: list[int] = []
    for part in (parts.training, parts.held_out):
        rows = contents(part, 0, len(part))
        assert len(part) >= 1
        seen += chain.from_iterable(rows)
        if part is parts.held_out:
            assert list(chain.from_iterable(rows)) == sorted(chain.from_iterable(rows))  # in the order of the text
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(range(total))
    assert len(seen) + parts.training.left_out + parts.held_out.left_out == total
    assert parts.training.left_out < inner


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_the_parts_by_hand(share: float) -> None:
    documents = [[letter * 5] for letter in "abcdef"]  # six tokens each, cut into sections of 4 and 2
    sections = [stream([document])[start : start + 4] for document in documents for start in (0, 4)]
    # The sections with the smallest hashes, computed with Python's integers.
    taken: list[int] = []
    for number in sorted(range(12), key=splitmix):
        if sum(len(sections[index]) for index in taken) < max(4, share * 36):
            taken.append(number)
    held = list(chain.from_iterable(sections[number] for number in range(12) if number in taken))
    rest = list(chain.from_iterable(sections[number] for number in range(12) if number not in taken))
    parts = halves(documents, held_out=share)
    assert contents(parts.held_out, 0, len(parts.held_out)) == windows(held, 4)
    assert sorted(contents(parts.training, 0, len(parts.training))) == sorted(windows(rest, 4))


def splitmix(number: int) -> int:
    word = (1 << 64) - 1
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & word
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & word
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & word
    return mixed ^ mixed >> 31


LONG = [["abcdefgh" * 40], *([["bca" * 9]] * 300)]


def test_the_held_out_part_is_that_of_any_seed() -> None:
    first, second = halves(LONG, seed=0), halves(LONG, seed=1)
    assert contents(first.held_out, 0, len(first.held_out)) == contents(second.held_out, 0, len(second.held_out))
    assert contents(first.training, 0, 50) != contents(second.training, 0, 50)


def test_a_larger_part_contains_a_smaller_one() -> None:
    small, large = (halves(LONG, held_out=share).held_out for share in (0.02, 0.2))
    assert len(small) * 5 < len(large)
    few, many = (Counter(chain.from_iterable(contents(part, 0, len(part)))) for part in (small, large))
    assert few <= many


def test_shares_and_limits() -> None:
    total = len(stream(LONG))
    held = halves(LONG, held_out=0.1).held_out
    assert total * 0.1 - 4 < len(held) * 4 < total * 0.1 + 600  # in whole sections
    assert len(halves(LONG, held_out=0.1, max_held_out=7).held_out) == 7
    assert len(halves(LONG, held_out=0.0).held_out) >= 1


def test_a_long_document_is_held_out_by_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_sequences, "SECTION", 8)
    numbers = np.arange(1000)
    cache = TokenCache(numbers, np.array([1000]), np.ones(len(VOCAB), np.int64), "")
    parts = split_corpus(cache, length=6, cls_token_id=CLS, sep_token_id=SEP, seed=0, held_out=0.1)
    held = np.array(contents(parts.held_out, 0, len(parts.held_out))).reshape(-1, 8)
    assert len(held) == 13  # the first 13 sections of 8 reach 100 tokens
    np.testing.assert_array_equal(held, held[:, :1] + np.arange(8))
    assert (held[:, 0] % 8 == 0).all()
    assert len(np.unique(np.diff(held[:, 0]))) > 3  # all over the document


@pytest.mark.parametrize("tokens", [1, 2, 11, 12])
def test_a_corpus_of_one_short_line(tokens: int) -> None:
    documents = [["a" * (tokens - 1)]]
    if tokens == 12:
        parts = halves(documents)
        assert (len(parts.training), len(parts.held_out)) == (2, 1)
        return
    with pytest.raises(DataError) as caught:
        halves(documents)
    message = str(caught.value)
    assert f"it has {tokens} tokens in 1 document, and a sequence of length 6 holds 4 of them" in message
    assert "At least 12 are needed: give more text" in message
    assert ("sequence length of at most 5" in message) == (tokens == 11)
    if tokens == 11:
        assert len(halves(documents, length=5).training) == 2  # the advice holds


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(DataError, match=r"held_out=0\.99 leaves less than one to train on: hold out less, or give"):
        halves([["abcdefghijklmno"]], held_out=0.99)


@pytest.mark.parametrize("options", [{"held_out": 1.0}, {"held_out": -0.1}, {"max_held_out": 0}, {"length": 2}])
def test_numbers_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"got"):
        halves(LONG, **options)
