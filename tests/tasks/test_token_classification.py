"""From tokens to entities: aggregation and merging by hand, accents, and messages for what cannot work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import InputError
from distilbert.tasks.token_classification import ScoredToken, find_entities, merge_windows

LABELS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "LOC"}


def tokens(*items: tuple[str, int, float]) -> list[ScoredToken]:
    scored, start = [], 0
    for index, (word, label, score) in enumerate(items):
        scores = np.full(4, (1 - score) / 3, np.float32)
        scores[label] = score
        continues = word.startswith("##")
        start += 0 if continues or not scored else 1
        end = start + len(word.removeprefix("##"))
        scored.append(ScoredToken(word, scores, index + 1, start, end, continues))
        start = end
    return scored


def text(pieces: list[str]) -> str:
    return " ".join(pieces).replace(" ##", "")


SENTENCE = tokens(("anna", 1, 0.9), ("mar", 2, 0.6), ("##ia", 0, 0.8), ("b", 1, 0.7), ("rome", 3, 0.5), ("it", 3, 0.9))


def groups(strategy: str) -> list[tuple[str, str]]:
    return [(e["entity_group"], e["word"]) for e in find_entities(SENTENCE, strategy, LABELS, text)]


def test_strategies() -> None:
    assert [e["entity"] for e in find_entities(SENTENCE, "none", LABELS, text)] == [
        "B-PER", "I-PER", "O", "B-PER", "LOC", "LOC",
    ]  # fmt: skip
    assert groups("simple") == [("PER", "anna mar"), ("O", "##ia"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("first") == [("PER", "anna maria"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("max") == [("PER", "anna"), ("O", "maria"), ("PER", "b"), ("LOC", "rome it")]
    assert groups("average") == [("PER", "anna"), ("O", "maria"), ("PER", "b"), ("LOC", "rome it")]


def test_scores_and_places() -> None:
    first = find_entities(SENTENCE, "first", LABELS, text)[0]
    assert first["score"] == pytest.approx((0.9 + 0.6) / 2)
    assert (first["start"], first["end"]) == (0, 10)
    assert type(first["score"]) is float
    assert find_entities([], "average", LABELS, text) == []


def entity(start: int, end: int, score: float) -> dict[str, Any]:
    return {"start": start, "end": end, "score": score}


def test_windows_keep_the_longest_then_the_surest() -> None:
    a, b, c, d = entity(0, 4, 0.5), entity(2, 8, 0.1), entity(8, 9, 0.2), entity(8, 9, 0.3)
    assert merge_windows([a, c, b, d]) == [b, d]
    assert merge_windows([]) == []


def test_accents_do_not_glue_words(make_task: Any) -> None:
    """transformers compares lengths of token and text, so a decomposed accent joins a word to the one before."""
    task = make_task("token-classification", "entities", aggregation_strategy="first", ignore_labels=[])
    plain = task("john wolf paris")
    accented = task("john wo\u0301lf paris")
    assert [e["word"] for e in accented] == [e["word"] for e in plain]
    assert accented[-1]["end"] == plain[-1]["end"] + 1


def test_messages(make_task: Any) -> None:
    task = make_task("ner", "entities")
    with pytest.raises(InputError, match="Did you mean 'average'"):
        task("x", aggregation_strategy="averag")
    with pytest.raises(InputError, match="ignore_labels must be a list"):
        task("x", ignore_labels="O")
    with pytest.raises(InputError, match=r"inputs\[0\] must be a list of one or more texts"):
        task(["x", ["y"]], is_split_into_words=True)
