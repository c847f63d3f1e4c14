"""Tokens with scores to entities: pieces agree on their word, words join in groups, windows are merged.

Tags are ``B-X`` (begins an X), ``I-X`` (continues one); a tag without prefix counts as ``I-``.
Example: the tokens ``B-PER I-PER B-PER O`` hold two groups of ``PER`` and one of ``O``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass(frozen=True)
class Token:
    """One token, or one word, of a text.

    Attributes:
        word: vocabulary entry, or for an unknown token the text itself.
        scores: (L,) probabilities of the labels.
        index: place in the sequence of tokens.
        start: first character in the text.
        end: one past the last character.
        continues: it continues the word of the token before.
    """

    word: str
    scores: np.ndarray
    index: int
    start: int
    end: int
    continues: bool


def entities_of(
    tokens: list[Token], strategy: str, id2label: Mapping[int, str], to_text: Callable[[list[str]], str]
) -> list[dict[str, Any]]:
    """Return the entities of one window, those of ignored labels too.

    Args:
        tokens: all but the special tokens.
        strategy: one of :data:`STRATEGIES`.
        id2label: label names.
        to_text: joins vocabulary entries to text.
    """
    if strategy == "none":
        return [_entity(token, id2label) for token in tokens]
    if strategy != "simple":
        tokens = [_word(pieces, strategy, to_text) for pieces in _words(tokens)]
    return _groups([_entity(token, id2label) for token in tokens], to_text)


def merge_windows(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of entities that overlap keep the longest, of equally long ones the one with the higher score."""
    merged: list[dict[str, Any]] = []
    for entity in sorted(entities, key=lambda e: e["start"]):
        if not merged or entity["start"] >= merged[-1]["end"]:
            merged.append(entity)
        elif _strength(entity) > _strength(merged[-1]):
            merged[-1] = entity
    return merged


def _strength(entity: dict[str, Any]) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]


def _entity(token: Token, id2label: Mapping[int, str]) -> dict[str, Any]:
    best = int(token.scores.argmax())
    return {
        "entity": id2label[best],
        "score": float(token.scores[best]),
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _words(tokens: list[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.continues:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _word(pieces: list[Token], strategy: str, to_text: Callable[[list[str]], str]) -> Token:
    """Join the pieces of a word; its scores are those of the first piece, of the surest, or the mean."""
    if strategy == "average":
        scores = np.stack([piece.scores for piece in pieces]).mean(axis=0)
    elif strategy == "max":
        scores = max((piece.scores for piece in pieces), key=np.max)
    else:
        scores = pieces[0].scores
    text = to_text([piece.word for piece in pieces])
    return Token(text, scores, pieces[0].index, pieces[0].start, pieces[-1].end, continues=False)


def _groups(entities: list[dict[str, Any]], to_text: Callable[[list[str]], str]) -> list[dict[str, Any]]:
    groups: list[list[dict[str, Any]]] = []
    for entity in entities:
        begins, tag = _tag(entity["entity"])
        if groups and not begins and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [
        {
            "entity_group": group[0]["entity"].split("-", 1)[-1],
            "score": float(np.mean([entity["score"] for entity in group])),
            "word": to_text([entity["word"] for entity in group]),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in groups
    ]


def _tag(label: str) -> tuple[bool, str]:
    """Return whether the label begins an entity, and its kind."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label
