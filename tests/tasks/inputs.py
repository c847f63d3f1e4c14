"""One model, parameters and varied inputs for every task."""

from __future__ import annotations

import random
from typing import Any

from tests.behaviour.cases import LONG, TEXTS

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "text-classification": ("labels", {}),
    "token-classification": ("entities", {"aggregation_strategy": "simple"}),
    "question-answering": ("answers", {}),
    "fill-mask": ("masked-lm", {"top_k": 2}),
    "feature-extraction": ("encoder", {"pooling": "mean"}),
    "zero-shot-classification": ("nli", {"candidate_labels": ["sport", "politics"]}),
    "multiple-choice": ("choices", {}),
    "sentence-similarity": ("encoder", {}),
}


def inputs_for(task: str, count: int, seed: int = 0) -> list[Any]:
    """Return ``count`` inputs of mixed lengths, a few longer than the model."""
    generator = random.Random(seed)

    def text() -> str:
        words = (LONG + " " + " ".join(TEXTS[:8])).replace("[SEP]", "").split()
        length = generator.choice([1, 2, 3, 5, 8, 13, 21, 80])
        return " ".join(generator.choices(words, k=length))

    def make_input() -> Any:
        if task == "question-answering":
            return {"question": text()[:50], "context": text()}
        if task == "fill-mask":
            return f"{text()} [MASK] {text()}" + generator.choice(["", " [MASK]"])
        if task == "multiple-choice":
            item = {"context": text(), "question": text()[:40], "choices": [text()[:40] for _ in range(3)]}
            item.pop(generator.choice(["context", "question", ""]), None)
            return item
        if task == "sentence-similarity":
            return {"source_sentence": text(), "sentences": [text() for _ in range(generator.randint(1, 3))]}
        if task == "text-classification" and generator.random() < 0.2:
            return {"text": text(), "text_pair": text()}
        return text()

    return [make_input() for _ in range(count)]


def close(actual: Any, expected: Any, tolerance: float = 2e-5) -> bool:
    """Whether two answers are the same but for rounding."""
    if isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(close(actual[k], expected[k], tolerance) for k in expected)
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(
            close(a, b, tolerance) for a, b in zip(actual, expected, strict=True)
        )
    if isinstance(expected, float):
        return abs(actual - expected) <= tolerance * max(1.0, abs(expected))
    return bool(actual == expected)
