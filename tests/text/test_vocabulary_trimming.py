"""A trimmed vocabulary reads the same words, in smaller pieces, and keeps what is special."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import TokenizerError
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.text.tokenizer_files import write_spec
from distilbert.text.vocabulary_trimming import trim_vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase), "é", ".", ","]
WORDS = ["river", "water", "##ing", "##er", "film", "films", "中", "日", "##日"]
FULL = DistilBertTokenizerFast(vocab=[*SPECIAL, *WORDS, *LETTERS])
FULL.add_tokens(["<name>"])
COUNTS = np.zeros(len(FULL), np.int64)
COUNTS[[FULL.convert_tokens_to_ids(word) for word in ("film", "##er", "中")]] = 9, 5, 7
LEAST = len(SPECIAL) + len(LETTERS)


@pytest.fixture(scope="module", params=[DistilBertTokenizer, DistilBertTokenizerFast])
def trimmed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DistilBertTokenizer:
    folder: Path = tmp_path_factory.mktemp("trimmed")
    write_spec(trim_vocabulary(FULL.spec, COUNTS, LEAST + 3)[0], folder)
    tokenizer: DistilBertTokenizer = request.param.from_pretrained(folder)
    return tokenizer


def test_the_most_frequent_entries_stay_in_their_order(trimmed: DistilBertTokenizer) -> None:
    kept = ["##er", "film", "中"]
    entries = sorted(trimmed.spec.vocab, key=trimmed.spec.vocab.__getitem__)
    assert entries == [*SPECIAL, *kept, *LETTERS]
    assert trimmed.all_special_ids == FULL.all_special_ids
    assert trimmed.convert_tokens_to_ids("<name>") == len(entries)


def test_rows_name_the_old_ids() -> None:
    spec, rows = trim_vocabulary(FULL.spec, COUNTS, LEAST + 3)
    names = {token_id: name for name, token_id in FULL.get_vocab().items()}
    assert [names[row] for row in rows] == [*sorted(spec.vocab, key=spec.vocab.__getitem__), "<name>"]


@given(text=st.text(alphabet=string.ascii_lowercase[:8] + "rivews .,éÉ", max_size=60))
def test_latin_words_are_never_unknown_and_stay_the_same(trimmed: DistilBertTokenizer, text: str) -> None:
    tokens = trimmed.tokenize(text)
    assert "[UNK]" not in tokens
    assert "".join(tokens).replace("##", "") == "".join(FULL.tokenize(text)).replace("##", "")


def test_other_characters_must_be_frequent(trimmed: DistilBertTokenizer) -> None:
    assert trimmed.tokenize("中 日 films <name>") == ["中", "[UNK]", "film", "##s", "<name>"]


@pytest.mark.parametrize("size", [LEAST - 1, len(SPECIAL + WORDS + LETTERS) + 1])
def test_too_few_and_too_many_are_refused(size: int) -> None:
    with pytest.raises(TokenizerError, match=f"can be cut to {LEAST} at least.*; got {size}"):
        trim_vocabulary(FULL.spec, COUNTS, size)


def test_all_entries_may_stay() -> None:
    spec, rows = trim_vocabulary(FULL.spec, COUNTS, len(SPECIAL + WORDS + LETTERS))
    assert spec.vocab == FULL.spec.vocab
    assert rows.tolist() == list(range(len(FULL)))
