"""A tiny encoder whose words are those of a text, so that its vectors say which words a text has."""

from __future__ import annotations

from pathlib import Path

from distilbert import DistilBertTokenizer
from tests.tiny import tiny_model


def write_encoder(folder: Path, text: str) -> Path:
    """Write a model and its tokenizer; its tokens are the words of ``text`` and the digits."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(text.split()), *"0123456789"]
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(words) + "\n")
    tiny_model("", vocab_size=len(words)).save_pretrained(folder)
    DistilBertTokenizer(str(vocabulary)).save_pretrained(folder)
    vocabulary.unlink()
    return folder
