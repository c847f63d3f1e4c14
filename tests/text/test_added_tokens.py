"""The search for many added tokens: what it finds, and that its time does not grow with their number."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.text import added_tokens
from distilbert.text.added_tokens import TokenSearch
from distilbert.text.fast import AddedTokenFilter, DistilBertTokenizerFast

from .helpers import CLASSES, SMALL_VOCAB

pieces = st.lists(st.text("ab!", min_size=1, max_size=6), max_size=12)


@given(tokens=pieces, text=st.text("ab! ", max_size=40))
@settings(max_examples=500, deadline=None)
def test_the_tree_finds_what_a_regular_expression_finds(tokens: list[str], text: str) -> None:
    pattern = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
    expected = [match.span() for match in re.finditer(pattern, text)] if tokens else []
    assert list(TokenSearch(tokens).spans(text)) == expected
    longest = [*tokens, "x" * added_tokens._MAX_PATTERN, "y"]
    search = TokenSearch(longest)
    assert search.pattern is None
    assert list(search.spans(text)) == expected
    assert search.may_be_in(text) == bool(expected)


@given(tokens=st.lists(st.text("ab! <É", min_size=1, max_size=5), max_size=12), text=st.text("abAB! <", max_size=30))
@settings(max_examples=500, deadline=None)
def test_the_filter_misses_no_token(tokens: list[str], text: str) -> None:
    lower = text.lower()
    many = [*tokens, "x" * added_tokens._MAX_PATTERN, "y"]
    if any(token.lower() in lower for token in tokens):
        assert AddedTokenFilter(tokens).may_be_in(lower)
        assert AddedTokenFilter(many).may_be_in(lower)


def test_the_filter_lets_ordinary_texts_pass() -> None:
    search = AddedTokenFilter(["[MASK]", "new york", *(f"token{index}x" for index in range(1000))])
    for text, may_be_in in (("a mask in york", False), ("a [mask]", True), ("in new york", True), ("token7", False)):
        assert search.may_be_in(text) is may_be_in


def test_texts_without_added_tokens_need_no_rust(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = DistilBertTokenizerFast(vocab=SMALL_VOCAB, added_tokens=[f"q{index}q" for index in range(500)])
    texts = ["the play", "do not", "q7q", "sep mask"]
    expected = tokenizer.encode_ids(texts)
    encoded: list[Any] = []
    rust_ids = tokenizer._rust_ids
    monkeypatch.setattr(tokenizer, "_rust_ids", lambda batch: encoded.extend(batch) or rust_ids(batch))
    assert tokenizer.encode_ids(texts) == expected
    assert encoded == ["q7q"]


@pytest.mark.parametrize("cls", CLASSES)
def test_many_tokens_with_a_common_beginning(cls: type[Any]) -> None:
    tokens = ["a" * length + "!" for length in range(1, 1001)]
    start = time.perf_counter()
    tokenizer = cls(vocab=SMALL_VOCAB, added_tokens=tokens)
    ids = tokenizer.encode_ids(["a" * 1000, "a" * 500 + "!"], add_special_tokens=False)
    assert ids == [[1], [97 + 499]]
    assert time.perf_counter() - start < 10  # a regular expression of the tokens takes much longer


@pytest.mark.parametrize("cls", CLASSES)
def test_adding_tokens_one_by_one(cls: type[Any]) -> None:
    tokenizer = cls(vocab=SMALL_VOCAB)
    for index in range(300):
        assert tokenizer.add_tokens(f"q{index}q") == 1
    assert tokenizer("q299q a").input_ids == [2, 97 + 299, 5, 3]
