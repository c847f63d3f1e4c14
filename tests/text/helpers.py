"""A small vocabulary, both tokenizer classes on it, and what the tests compare."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0"]
WORDS = ["the", "cafe", "play", "##ing", "un", "##aff", "##able", "é", "ß", "中", "ii", "Foo", "ᄀ"]
PUNCTUATION = [*".,!?'-[]#"]
MORE = ["do", "not", "##ed", "##er", "in", "is", "of", "dog", "##ss", "Σ", "σ", "##ς", "$", "(", ")", "1"]
SMALL = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS, *PUNCTUATION, *MORE]
assert len(set(SMALL)) == len(SMALL) == 97

CLASSES = [DistilBertTokenizer, DistilBertTokenizerFast]
DATA = Path(os.environ.get("DISTILBERT_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")

COLUMNS = ["ids", "tokens", "offsets", "word_ids", "sequence_ids", "type_ids", "special_tokens_mask", "attention_mask"]


def twins(**options: Any) -> tuple[DistilBertTokenizer, DistilBertTokenizerFast]:
    """The pure and the fast tokenizer with the same options, on the small vocabulary unless another is given."""
    options = {"vocab": SMALL, **options}
    return DistilBertTokenizer(**options), DistilBertTokenizerFast(**options)


def facts(encoding: Any, overflow: bool = True) -> dict[str, Any]:
    """Everything that an encoding tells, as plain data."""
    columns = {name: list(getattr(encoding, name)) for name in COLUMNS}
    columns["n_sequences"] = encoding.n_sequences
    if overflow:
        columns["overflowing"] = [facts(window, overflow=False) for window in encoding.overflowing]
    return columns


def write_vocab(folder: Path) -> None:
    """Write the small vocabulary as ``vocab.txt``."""
    (folder / "vocab.txt").write_text("".join(f"{entry}\n" for entry in SMALL), encoding="utf-8")
