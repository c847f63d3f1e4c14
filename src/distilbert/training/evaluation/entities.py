"""Entities of tagged sentences, counted as seqeval counts them by default (that is, as conlleval does).

An entity is right where its type, first and last word are. ``B-X`` begins an X and ``I-X`` continues one, or begins
one where none goes before; ``E-`` and ``S-`` end one and are one alone. A tag without a prefix (``PER``) counts as
``I-``, as it does in the token-classification pipeline, so neighbouring words of one type are one entity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.extras import require

BILOU = {"L-": "E-", "U-": "S-"}  # the other names of the same two prefixes
Entity = tuple[str, int, int]  # type, first and last word


@dataclass(frozen=True)
class Counts:
    """Entities of one type: those found, those there, and those both found and there."""

    right: int = 0
    found: int = 0
    there: int = 0

    @property
    def precision(self) -> float:
        """Share of the found ones that is right; 0 if nothing was found."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of those there that was found; 0 if there are none."""
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / (self.found + self.there) if self.found + self.there else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.found + other.found, self.there + other.there)


def with_prefix(tag: str) -> str:
    """Return a tag as seqeval reads it."""
    if tag == "O" or tag[:2] in ("B-", "I-", "E-", "S-"):
        return tag
    return BILOU[tag[:2]] + tag[2:] if tag[:2] in BILOU else f"I-{tag}"


def entities_of(tags: Sequence[str]) -> set[Entity]:
    """Return the entities of one sentence."""
    found = require("seqeval.metrics.sequence_labeling", "train").get_entities([with_prefix(tag) for tag in tags])
    return set(found)


def count_types(expected: Sequence[str], got: Sequence[str]) -> dict[str, Counts]:
    """Count the entities of one sentence by their type."""
    there, found = entities_of(expected), entities_of(got)
    return {
        kind: Counts(
            *(sum(entity[0] == kind for entity in entities) for entities in (there & found, found, there)),
        )
        for kind in sorted({entity[0] for entity in there | found})
    }


def add_types(sentences: Sequence[Mapping[str, Counts]]) -> dict[str, Counts]:
    """Add the counts of sentences up, type by type."""
    total: dict[str, Counts] = {}
    for sentence in sentences:
        for kind, counts in sentence.items():
            total[kind] = total.get(kind, Counts()) + counts
    return dict(sorted(total.items()))
