"""A vocabulary in which each letter is a token, corpora as files, and the tokens that they must become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer
from distilbert.training.corpus.packed_sequences import PackedSequences
from distilbert.training.corpus.streamed_sequences import StreamedSequences

PAD, UNK, CLS, SEP, MASK, A = 0, 1, 2, 3, 4, 5
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]
SPECIAL = [PAD, UNK, CLS, SEP, MASK]
CLASSES = [DistilBertTokenizer, DistilBertTokenizerFast]

Documents = Sequence[Sequence[str]]


def tokenizer(kind: type = DistilBertTokenizerFast) -> DistilBertTokenizerFast:
    return kind(vocab=VOCAB)


def ids(letters: str) -> list[int]:
    """The ids of letters, of ``.`` for ``[SEP]``, of ``<`` for ``[CLS]``; spaces are ignored."""
    marks = {".": SEP, "<": CLS}
    return [marks[letter] if letter in marks else A + LETTERS.index(letter) for letter in letters if letter != " "]


def write_text(path: Path, documents: Documents) -> Path:
    """Write documents of paragraphs as a text file."""
    path.write_text("\n\n".join("\n".join(paragraphs) for paragraphs in documents) + "\n", encoding="utf-8")
    return path


def stream(documents: Iterable[Iterable[str]]) -> list[int]:
    """The tokens that documents of letters become, each followed by ``[SEP]``."""
    return ids("".join("".join(paragraphs) + "." for paragraphs in documents))


def contents(packed: PackedSequences | StreamedSequences, start: int, count: int) -> list[tuple[int, ...]]:
    """Sequences without ``[CLS]`` and ``[SEP]``, which are checked."""
    taken = packed.take(start, count)
    assert taken.dtype == np.int64
    assert taken.shape == (count, packed.length)
    assert (taken[:, 0] == CLS).all()
    assert (taken[:, -1] == SEP).all()
    return [tuple(row) for row in taken[:, 1:-1].tolist()]


def windows(tokens: list[int], inner: int) -> list[tuple[int, ...]]:
    """Pieces of ``inner`` tokens; what is left at the end is dropped."""
    return [tuple(tokens[start : start + inner]) for start in range(0, len(tokens) - inner + 1, inner)]
