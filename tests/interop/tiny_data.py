"""A vocabulary and a few labelled examples of each task, for runs that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distilbert import DistilBertTokenizerFast

GOOD = ["fine", "good", "great", "lovely"]
BAD = ["bad", "awful", "poor", "sad"]
NOUNS = ["film", "song", "book", "meal"]
NAMES = ["anna", "bob", "clara"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "was", "is", "who", "what", "?", ".", "sang", "ate"]
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "dim": 24,
    "n_heads": 3,
    "n_layers": 2,
    "hidden_dim": 40,
}


def write_vocabulary(folder: Path) -> DistilBertTokenizerFast:
    """Save a tokenizer into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*WORDS, *GOOD, *BAD, *NOUNS, *NAMES]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = DistilBertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    tokenizer.save_pretrained(folder)
    return tokenizer


def sentences() -> list[tuple[str, int]]:
    """Sentences with 1 for praise and 0 for blame."""
    return [
        (f"{article} {noun} was {adjective} .", int(adjective in GOOD))
        for article in ("a", "the")
        for noun in NOUNS
        for adjective in (*GOOD, *BAD)
    ]


def tagged() -> list[tuple[list[str], list[int]]]:
    """Words with 1 for a name and 0 for any other word."""
    rows = [[name, "sang", article, noun, "."] for name in NAMES for article in ("a", "the") for noun in NOUNS]
    return [(words, [int(word in NAMES) for word in words]) for words in rows]


def questions() -> list[dict[str, Any]]:
    """Questions with a context and the answer in it, in the form of SQuAD."""
    rows = []
    for name in NAMES:
        for noun in NOUNS:
            context = f"{name} ate the {noun} ."
            rows.append({"question": "who ate ?", "context": context, "answer": name, "start": 0})
            rows.append({"question": "what ?", "context": context, "answer": noun, "start": context.index(noun)})
    return rows


def choices() -> list[tuple[str, list[str], int]]:
    """A beginning, three endings, and which of them is a noun."""
    return [
        (f"{name} ate the", [noun if place == right else "was" for place in range(3)], right)
        for name in NAMES
        for noun in NOUNS
        for right in range(3)
    ]
