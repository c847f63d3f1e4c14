"""Random examples and predictions of every task, and tiny models with files to evaluate them on."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distilbert.data.examples import (
    MULTI,
    REGRESSION,
    SINGLE,
    Answer,
    ChoiceExample,
    Example,
    Labels,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from distilbert.text.fast import DistilBertTokenizerFast
from tests.data.corpora import LETTERS, VOCAB
from tests.tiny import tiny_model

NAMES = ("red", "green", "blue")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
HEADS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
    "fill-mask": "ForMaskedLM",
    "sentence-similarity": "",
}
KINDS = ("single", "binary", "multi", "regression", "tags", "questions", "choices", "masks", "similarities")
Case = tuple[str, list[Example], list[Any], Labels]


def place(index: int) -> str:
    return f"made:{index + 1}"


def case(kind: str, count: int, seed: int) -> Case:
    """Task, examples, predictions and labels; about half of the predictions are right."""
    generator, numbers = random.Random(seed), np.random.default_rng(seed)
    if kind in ("single", "binary"):
        names = NAMES if kind == "single" else NAMES[:2]
        scores = numbers.dirichlet(np.ones(len(names)) / 2, count).astype(np.float32)
        texts = [TextExample(place(n), f"text {n}", label=generator.choice(names)) for n in range(count)]
        return "text-classification", list(texts), list(scores), Labels(names, SINGLE)
    if kind == "multi":
        sets = [tuple(name for name in NAMES if generator.random() < 0.5) for _ in range(count)]
        texts = [TextExample(place(n), f"text {n}", label=names) for n, names in enumerate(sets)]
        return "text-classification", list(texts), list(numbers.random((count, 3), np.float32)), Labels(NAMES, MULTI)
    if kind == "regression":
        texts = [TextExample(place(n), f"text {n}", label=round(generator.random() * 5, 1)) for n in range(count)]
        got = [np.array([float(e.label or 0) + generator.gauss(0, 1)], np.float32) for e in texts]
        return "text-classification", list(texts), got, Labels(("score",), REGRESSION)
    if kind == "tags":
        sentences, answers = [], []
        for n in range(count):
            tags = tuple(generator.choice(TAGS) for _ in range(generator.randrange(1, 7)))
            sentences.append(TaggedExample(place(n), ("word",) * len(tags), tags))
            answers.append(tuple(tag if generator.random() < 0.7 else generator.choice(TAGS) for tag in tags))
        return "token-classification", list(sentences), answers, Labels(TAGS)
    if kind == "questions":
        words = ["the", "cat", "sat", "on", "a", "mat"]
        asked = []
        for n in range(count):
            answers = tuple(Answer(" ".join(generator.sample(words, 3)), 0) for _ in range(generator.randrange(0, 3)))
            asked.append(QuestionExample(place(n), str(n), "who?", "the cat sat on a mat", answers))
        texts_got = [" ".join(generator.sample(words, generator.choice([0, 2, 3]))) for _ in range(count)]
        return (
            "question-answering", list(asked),
            [{"text": text, "score": generator.random()} for text in texts_got], Labels(),
        )  # fmt: skip
    if kind == "choices":
        chosen = [ChoiceExample(place(n), "c", "q", ("x", "y", "z"), generator.randrange(3)) for n in range(count)]
        return "multiple-choice", list(chosen), list(numbers.dirichlet(np.ones(3), count).astype(np.float32)), Labels()
    if kind == "similarities":
        pairs = [TextExample(place(n), f"text {n}", "pair", round(generator.random() * 5, 1)) for n in range(count)]
        cosines = [np.array([float(e.label or 0) / 5 - generator.random()], np.float32) for e in pairs]
        return "sentence-similarity", list(pairs), cosines, Labels(("score",), REGRESSION)
    texts = [TextExample(place(n), f"text {n}") for n in range(count)]
    got_masks = [(-5 * generator.random(), generator.randrange(3), generator.randrange(3, 5)) for _ in range(count)]
    return "fill-mask", list(texts), got_masks, Labels()


def pieces() -> DistilBertTokenizerFast:
    """A token for each letter, at the beginning of a word and inside."""
    return DistilBertTokenizerFast(vocab=[*VOCAB, *(f"##{letter}" for letter in LETTERS)])


def write_model(folder: Path, task: str, seed: int = 0, **changes: Any) -> str:
    if "id2label" in changes:
        changes["num_labels"] = len(changes["id2label"])
    tiny_model(HEADS[task], seed, **changes).save_pretrained(folder)
    pieces().save_pretrained(folder)
    return str(folder)


def letters(generator: random.Random, count: int) -> str:
    return " ".join("".join(generator.choice(LETTERS) for _ in range(generator.randrange(1, 4))) for _ in range(count))


def write_data(folder: Path, task: str, count: int = 12, seed: int = 0, tags: Sequence[str] = TAGS) -> str:
    """A file of labelled examples, some of them longer than a tiny model."""
    generator = random.Random(seed)
    if task == "token-classification":
        blocks = []
        for n in range(count):
            words = letters(generator, 30 if n == 0 else 5).split()
            blocks.append("".join(f"{word}\t{generator.choice(tags)}\n" for word in words))
        path = folder / "data.conll"
        path.write_text("\n".join(blocks), encoding="utf-8")
        return str(path)
    rows: list[dict[str, Any]] = []
    for n in range(count):
        text = letters(generator, 30 if n == 0 else 5)
        if task == "question-answering":
            word = text.split()[1]
            answers = (
                {"text": [word], "answer_start": [text.index(word)]} if n % 4 else {"text": [], "answer_start": []}
            )
            rows.append({"id": str(n), "question": letters(generator, 3), "context": text, "answers": answers})
        elif task == "multiple-choice":
            choices = [letters(generator, 2) for _ in range(3)]
            rows.append({"context": text, "question": "a b", "choices": choices, "label": n % 3})
        elif task == "fill-mask":
            rows.append({"text": text})
        elif task == "sentence-similarity":
            rows.append({"sentence1": text, "sentence2": letters(generator, 3), "score": n % 6})
        else:
            rows.append({"text": text, "label": f"LABEL_{n % 5}"})
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
