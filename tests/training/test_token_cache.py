"""The token cache: its content, when it is built again, and what a crash or a second process leaves behind."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilbert.core.errors import DataError
from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.training.corpus import document_encoding, token_cache
from distilbert.training.corpus.token_cache import TokenCache, fingerprint, open_cache, tokenize_corpus
from tests.data.corpora import CLASSES, SEP, UNK, VOCAB, A, ids, stream, tokenizer, write_text
from tests.real.data import DATA_FOLDER

DOCUMENTS = [["a b a", "c"], ["d [SEP]"], ["! a"]]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "a.txt", DOCUMENTS)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("batch", "calls"), [(1 << 20, [(3, 11)]), (5, [(1, 5), (2, 8), (3, 11)])])
@pytest.mark.parametrize("kind", CLASSES)
def test_three_documents_by_hand(
    text: Path, tmp_path: Path, kind: type, batch: int, calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_encoding, "BATCH_CHARACTERS", batch)
    progress: list[tuple[int, int]] = []
    cache = tokenize_corpus(
        [text], tokenizer(kind), tmp_path / "cache", on_tokenized=lambda *numbers: progress.append(numbers)
    )
    # [SEP] in the text becomes the special token, as everywhere; an unknown character becomes [UNK].
    assert cache.tokens.tolist() == [*ids("abac. d.."), UNK, *ids("a.")]
    assert cache.ends.tolist() == [5, 8, 11]
    assert cache.counts.tolist() == [0, 0, 0, 0, 0, 3, 1, 1, 1, *[0] * 22]
    assert (cache.tokens.dtype, cache.ends.dtype, cache.counts.dtype) == (np.uint16, np.int64, np.int64)
    assert isinstance(cache.tokens, np.memmap)
    assert progress == calls
    assert (tmp_path / "cache" / cache.fingerprint).is_dir()


def test_text_in_another_encoding_has_a_cache_of_its_own(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_bytes("é b".encode("utf-16"))
    cache = tokenize_corpus([text], tokenizer(), tmp_path, encoding="UTF-16")
    assert cache.tokens.tolist() == ids("eb.")
    assert cache.fingerprint == fingerprint([text], tokenizer(), encoding="utf16")
    assert len({fingerprint([text], tokenizer(), encoding=name) for name in ("", "utf-8", "UTF8")}) == 1
    assert cache.fingerprint != fingerprint([text], tokenizer())


def test_a_large_vocabulary_has_wider_ids(tmp_path: Path) -> None:
    many = [*VOCAB, *(f"w{number}" for number in range(1 << 16))]
    text = write_text(tmp_path / "a.txt", [["a w65535 w0"]])
    cache = tokenize_corpus([text], DistilBertTokenizerFast(vocab=many), tmp_path)
    assert cache.tokens.dtype == np.uint32
    assert cache.tokens.tolist() == [A, len(many) - 1, len(VOCAB), SEP]


def test_documents_without_a_token_leave_no_trace(tmp_path: Path) -> None:
    text = write_text(tmp_path / "a.txt", [["a"], ["\u200b"], ["b"]])
    cache = tokenize_corpus([text], tokenizer(), tmp_path)
    assert (cache.tokens.tolist(), cache.ends.tolist()) == (ids("a.b."), [2, 4])


@given(
    documents=st.lists(st.lists(st.text("abc", min_size=1), min_size=1), min_size=1),
    batch=st.integers(1, 20),
    piece=st.integers(2, 9),
)
def test_batches_and_pieces_change_nothing(documents: list[list[str]], batch: int, piece: int) -> None:
    spaced = [[" ".join(paragraph) for paragraph in paragraphs] for paragraphs in documents]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_encoding, "BATCH_CHARACTERS", batch)
        patch.setattr(document_encoding, "PIECE_CHARACTERS", piece)
        encoded = list(chain.from_iterable(document_encoding.encode_documents(spaced, tokenizer())))
    assert [array.tolist() for array in encoded] == [stream([paragraphs]) for paragraphs in documents]


def test_a_paragraph_is_cut_where_words_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_encoding, "PIECE_CHARACTERS", 8)
    assert list(document_encoding.cut_paragraph("one two three")) == ["one two", " three"]
    assert list(document_encoding.cut_paragraph("0123456789")) == ["01234567", "89"]
    assert list(document_encoding.cut_paragraph("short")) == ["short"]


def test_long_documents_warn_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    text = write_text(tmp_path / "a.txt", [["a b c " * 1000]])
    with caplog.at_level(logging.DEBUG):
        for kind in CLASSES:
            assert len(tokenize_corpus([text], tokenizer(kind), tmp_path / kind.__name__).tokens) == 3001
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_a_cache_is_used_again(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tokenize_corpus([text], tokenizer(), tmp_path / "cache")
    monkeypatch.setattr(token_cache, "encode_documents", lambda *_: pytest.fail("tokenized again"))
    second = tokenize_corpus([text], tokenizer(), tmp_path / "cache")
    for name in ("tokens", "ends", "counts"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.fingerprint == second.fingerprint


def test_both_classes_share_a_cache(text: Path) -> None:
    assert len({fingerprint([text], tokenizer(kind)) for kind in CLASSES}) == 1


def test_whatever_changes_the_tokens_changes_the_fingerprint(text: Path, tmp_path: Path) -> None:
    other = write_text(tmp_path / "b.txt", [["e"]])
    upper = DistilBertTokenizerFast(vocab=VOCAB, do_lower_case=False)
    more = tokenizer()
    more.add_tokens(["ab"])
    swapped = DistilBertTokenizerFast(vocab=[*VOCAB[:-2], "z", "y"])
    prints = [
        fingerprint([text], tokenizer()),
        fingerprint([text, other], tokenizer()),
        fingerprint([other, text], tokenizer()),
        fingerprint([text], tokenizer(), "body"),
        *(fingerprint([text], changed) for changed in (upper, more, swapped)),
    ]
    before = text.stat()
    os.utime(text, ns=(0, before.st_mtime_ns + 1))
    prints.append(fingerprint([text], tokenizer()))
    text.write_text(text.read_text() + "x")
    os.utime(text, ns=(0, before.st_mtime_ns))
    prints.append(fingerprint([text], tokenizer()))
    assert len(set(prints)) == len(prints)


def test_the_order_of_a_dict_is_no_other_vocabulary(text: Path) -> None:
    numbered = {entry: number for number, entry in enumerate(VOCAB)}
    turned = DistilBertTokenizerFast(vocab=dict(reversed(numbered.items())))
    assert fingerprint([text], turned) == fingerprint([text], tokenizer())


def test_a_longer_model_is_no_other_tokenizer(text: Path) -> None:
    longer = DistilBertTokenizerFast(vocab=VOCAB, model_max_length=99)
    assert fingerprint([text], longer) == fingerprint([text], tokenizer())


@pytest.mark.parametrize("name", [token_cache.META, token_cache.TOKENS, token_cache.ENDS, token_cache.COUNTS])
@pytest.mark.parametrize("harm", ["cut", "gone", "flipped"])
def test_a_broken_cache_is_made_again(text: Path, tmp_path: Path, name: str, harm: str) -> None:
    home = tmp_path / "cache"
    first = tokenize_corpus([text], tokenizer(), home)
    whole, path = files_below(home), home / first.fingerprint / name
    expected = first.tokens.tolist()
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-2])
    elif harm == "flipped":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    assert open_cache(path.parent) is None
    assert tokenize_corpus([text], tokenizer(), home).tokens.tolist() == expected
    assert files_below(home) == whole


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 100_000, "[]", "null", '{"format": 1, "bytes": []}', '{"format": 1, "bytes": {}}'],
)
def test_a_cache_with_other_values_is_made_again(text: Path, tmp_path: Path, content: str) -> None:
    first = tokenize_corpus([text], tokenizer(), tmp_path)
    (tmp_path / first.fingerprint / token_cache.META).write_text(content)
    assert open_cache(tmp_path / first.fingerprint) is None


@pytest.mark.parametrize("changes", [{"dtype": "<i2"}, {"dtype": "O"}, {"fingerprint": "x"}, {"hash": ""}])
def test_a_changed_value_of_a_cache_is_noticed(text: Path, tmp_path: Path, changes: dict[str, str]) -> None:
    first = tokenize_corpus([text], tokenizer(), tmp_path)
    path = tmp_path / first.fingerprint / token_cache.META
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert open_cache(path.parent) is None


def test_a_crash_leaves_nothing_under_the_name(text: Path, tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize_corpus([text], tokenizer(), tmp_path / "cache", on_tokenized=stop)
    assert files_below(tmp_path / "cache") == []


def test_what_a_killed_process_left_is_removed_after_a_day(text: Path, tmp_path: Path) -> None:
    home = tmp_path / "cache"
    old, new, other = (home / f".{digit * 32}.x.tmp" for digit in "abz")
    for folder in (old, new, other):
        folder.mkdir(parents=True)
        (folder / token_cache.TOKENS).write_bytes(b"1")
    past = time.time() - 2 * token_cache.STALE_SECONDS
    for folder in (old, other):
        os.utime(folder / token_cache.TOKENS, (past, past))
        os.utime(folder, (past, past))
    tokenize_corpus([text], tokenizer(), home)
    assert [folder.exists() for folder in (old, new, other)] == [False, True, True]


def test_two_processes_at_once(text: Path, tmp_path: Path) -> None:
    home, rival = tmp_path / "cache", []

    def meanwhile(*_: int) -> None:  # another process builds the same cache meanwhile
        if not rival:
            rival.append(None)
            rival[0] = tokenize_corpus([text], tokenizer(), home)

    cache = tokenize_corpus([text], tokenizer(), home, on_tokenized=meanwhile)
    first: TokenCache = rival[0]
    assert cache.tokens.tolist() == first.tokens.tolist()
    assert [path.name for path in home.iterdir()] == [cache.fingerprint]


@pytest.mark.parametrize("content", ["", "\n \n", "\u200b\n"])
def test_an_empty_corpus_names_its_sources(tmp_path: Path, content: str) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")
    sources = sorted(tmp_path.glob("*.txt"))
    with pytest.raises(DataError, match=r"corpus is empty.*a\.txt', .*c\.txt' and 1 more"):
        tokenize_corpus(sources, tokenizer(), tmp_path / "cache")
    assert files_below(tmp_path / "cache") == []


def test_real_text_against_the_plain_library(tmp_path: Path) -> None:
    path, vocab = DATA_FOLDER / "text" / "wikipedia" / "000.txt", DATA_FOLDER / "vocab" / "uncased.txt"
    if not path.is_file() or not vocab.is_file():
        pytest.skip("the data sets 'text' and 'vocab' are not there")
    head = path.read_text(encoding="utf-8")[:300_000]
    (tmp_path / "head.txt").write_text(head, encoding="utf-8")
    real = DistilBertTokenizerFast(vocab)
    cache = tokenize_corpus([tmp_path / "head.txt"], real, tmp_path / "cache")
    expected: list[int] = []
    for document in head.split("\n\n"):
        expected += [*real.backend_tokenizer.encode(document, add_special_tokens=False).ids, real.sep_token_id]
    assert cache.tokens.tolist() == expected
    occurring = Counter(index for index in expected if index not in real.all_special_ids)
    assert {index: int(cache.counts[index]) for index in np.flatnonzero(cache.counts)} == occurring
