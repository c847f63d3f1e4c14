"""Streamed sequences: the same packing as from a cache, and a restart at any point changes nothing."""

from __future__ import annotations

import json
import os
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilbert.core.errors import ConfigError, DataError
from distilbert.training.corpus import document_encoding
from distilbert.training.corpus.streamed_sequences import StreamedSequences
from tests.data.corpora import CLASSES, SEP, VOCAB, contents, ids, stream, tokenizer, windows, write_text


def streamed(path: Path, **options: Any) -> StreamedSequences:
    options = {"length": 6, "seed": 0, "held_out": 2, "block": 3, **options}
    return StreamedSequences([path], tokenizer(options.pop("kind", CLASSES[1])), **options)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_stream_by_hand(tmp_path: Path, kind: type) -> None:
    path = write_text(tmp_path / "a.txt", [["a b c d e"], ["f g"], ["h i j", "k l"], ["m n o p"]])
    sequences = streamed(path, kind=kind)
    assert sequences.held_out.take(0, 2).tolist() == [ids("<abcd."), ids("<e.fg.")]
    assert (len(sequences.held_out), sequences.length) == (2, 6)
    # The rest, twice: the second epoch starts after the held-out part as well.
    epoch = ids(".hijkl.mnop.")
    expected = windows(epoch + epoch, 4)
    for start in (0, 3):
        assert sorted(contents(sequences, start, 3)) == sorted(expected[start : start + 3])
    assert (
        sequences.counts.tolist()
        == np.bincount([index for index in epoch if index != SEP], minlength=len(VOCAB)).tolist()
    )


def test_a_stream_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a b c d é\n\nf g h i j".encode("latin-1"))
    sequences = streamed(path, held_out=1, block=1, encoding="latin-1")
    assert sequences.take(0, 2).tolist() == [ids("<e.fg."), ids("<hij..")]
    with pytest.raises(DataError, match="--encoding"):
        streamed(path, held_out=1, block=1)


def test_a_sequence_crosses_into_the_next_epoch(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", [["a b c d e"], ["f g h i j"]])
    sequences = streamed(path, held_out=1, block=1)
    assert sequences.take(0, 5).tolist() == [ids("<e.fg."), ids("<hij.."), ids("<e.fg."), ids("<hij.."), ids("<e.fg.")]
    path = write_text(tmp_path / "b.txt", [["a b c d e"], ["f g h"]])
    sequences = streamed(path, held_out=1, block=1)
    assert sequences.take(0, 4).tolist() == [ids("<e.fg."), ids("<h.e.."), ids("<fgh.."), ids("<e.fg.")]


def test_blocks_are_shuffled_by_seed_and_number(tmp_path: Path) -> None:
    pairs = "".join(
        left + right for left in "abcdefghijklm" for right in "nopqrstuvwxyz"
    )  # all sequences are different
    path = write_text(tmp_path / "a.txt", [[" ".join(pairs)]])
    plain = windows(stream([[pairs]])[8:], 4)
    orders = set()
    for seed in (0, 1):
        sequences = streamed(path, block=20, seed=seed)
        for number in range(3):
            order = [plain.index(row) - 20 * number for row in contents(sequences, 20 * number, 20)]
            assert sorted(order) == list(range(20))
            orders.add(tuple(order))
    assert len(orders) == 6


@settings(deadline=None)
@given(
    documents=st.lists(st.text("abcdefgh", min_size=1, max_size=12).map(lambda t: [" ".join(t)]), min_size=8),
    block=st.integers(1, 5),
    held_out=st.integers(1, 3),
    sizes=st.lists(st.integers(0, 7), min_size=2, max_size=6),
    batch=st.integers(1, 30),
    data=st.data(),
)
def test_a_restored_stream_goes_on_the_same(
    documents: list[list[str]], block: int, held_out: int, sizes: list[int], batch: int, data: st.DataObject
) -> None:
    options = {"block": block, "held_out": held_out, "length": 5}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = write_text(Path(folder, "a.txt"), documents)
        whole = streamed(path, **options)
        expected = contents(whole, 0, sum(sizes) + 9)
        broken = data.draw(st.integers(0, len(sizes)), label="stopped after")
        first = streamed(path, **options)
        position = 0
        for size in sizes[:broken]:
            assert contents(first, position, size) == expected[position : position + size]
            position += size
        state = json.loads(json.dumps(first.state()))
        patch.setattr(document_encoding, "BATCH_CHARACTERS", batch)  # other batches of documents change nothing
        second = streamed(path, **options)
        second.restore(state)
        assert contents(second, position, len(expected) - position) == expected[position:]
        assert second.counts.tolist() == first.counts.tolist()
        # The stream repeats the text after the held-out part.
        text = stream([[paragraph.replace(" ", "") for paragraph in document] for document in documents])
        held = list(chain.from_iterable(contents(second.held_out, 0, held_out)))
        assert held == text[: 3 * held_out]
        rest = text[3 * held_out :]
        full = len(expected) // block * block
        plain = (rest * (3 * full // len(rest) + 1))[: 3 * full]
        for start in range(0, full, block):
            assert sorted(expected[start : start + block]) == sorted(windows(plain, 3)[start : start + block])


def test_a_restore_skips_documents_without_tokenizing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "a.txt", [["a b c d e f g"]] * 100)
    monkeypatch.setattr(document_encoding, "BATCH_CHARACTERS", 1)
    first = streamed(path)
    first.take(0, 100)
    second = streamed(path)
    seen: list[str] = []
    real = second._tokenizer.encode_ids
    monkeypatch.setattr(
        second._tokenizer, "encode_ids", lambda texts, **rest: seen.extend(texts) or real(texts, **rest)
    )
    second.restore(first.state())
    assert 0 < len(seen) < 4


def test_a_stream_only_goes_forward(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", [["a b c d e f g"]] * 20)
    sequences, again = streamed(path), streamed(path)
    expected = contents(sequences, 0, 12)
    assert contents(again, 7, 3) == expected[7:10]  # skipping two blocks
    assert contents(again, 9, 2) == expected[9:11]
    with pytest.raises(ValueError, match="position 8 is before block 3"):
        again.take(8, 1)


def test_other_sources_cannot_be_resumed(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", [["a b c d e f g"]] * 20)
    state = streamed(path).state()
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / "a.txt"
    copy.write_bytes(path.read_bytes())
    os.utime(copy, (1, 1))
    streamed(copy).restore(state)  # the same files in another place
    copy.write_text(copy.read_text() + "x\n")
    with pytest.raises(DataError, match=r"copy/a\.txt': the files are others, or of another size"):
        streamed(copy).restore(state)


@pytest.mark.parametrize("letters", ["a", "a b c d e f g"])
def test_too_little_to_stream(tmp_path: Path, letters: str) -> None:
    path = write_text(tmp_path / "a.txt", [[letters]])  # at most 8 tokens, all of them held out
    with pytest.raises(DataError, match=r"hold out 2 sequences of length 6.*more than 8 tokens are needed"):
        streamed(path)


@pytest.mark.parametrize("options", [{"held_out": 0}, {"block": 0}, {"length": 2}])
def test_numbers_that_cannot_stream(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="got"):
        streamed(write_text(tmp_path / "a.txt", [["a b c d e f g"]] * 20), **options)
