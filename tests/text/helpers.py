"""A small vocabulary, both tokenizers with it, and an encoding as plain data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from distilbert.text.fast import DistilBertTokenizerFast
from distilbert.text.tokenizer import DistilBertTokenizer

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0"]
WORDS = ["the", "cafe", "play", "##ing", "un", "##aff", "##able", "é", "ß", "中", "ii", "Foo", "ᄀ"]
PUNCTUATION = [*".,!?'-[]#"]
MORE_WORDS = ["do", "not", "##ed", "##er", "in", "is", "of", "dog", "##ss", "Σ", "σ", "##ς", "$", "(", ")", "1"]
SMALL_VOCAB = [*SPECIAL_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS, *PUNCTUATION, *MORE_WORDS]
assert len(set(SMALL_VOCAB)) == len(SMALL_VOCAB) == 97

CLASSES = [DistilBertTokenizer, DistilBertTokenizerFast]
DATA = Path(os.environ.get("DISTILBERT_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")

COLUMNS = ["ids", "tokens", "offsets", "word_ids", "sequence_ids", "type_ids", "special_tokens_mask", "attention_mask"]


def both_tokenizers(**options: Any) -> tuple[DistilBertTokenizer, DistilBertTokenizerFast]:
    """Return the pure and the fast tokenizer with the same options, by default with the small vocabulary."""
    options = {"vocab": SMALL_VOCAB, **options}
    return DistilBertTokenizer(**options), DistilBertTokenizerFast(**options)


def as_dict(encoding: Any, overflow: bool = True) -> dict[str, Any]:
    """Return all attributes of an encoding, with ``overflow`` also those of its further windows."""
    columns = {name: list(getattr(encoding, name)) for name in COLUMNS}
    columns["n_sequences"] = encoding.n_sequences
    if overflow:
        columns["overflowing"] = [as_dict(window, overflow=False) for window in encoding.overflowing]
    return columns


def write_vocab(folder: Path) -> None:
    """Write the small vocabulary into ``folder`` as ``vocab.txt``."""
    (folder / "vocab.txt").write_text("".join(f"{entry}\n" for entry in SMALL_VOCAB), encoding="utf-8")
