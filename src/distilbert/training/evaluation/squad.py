"""Exact match and F1 of answers, as SQuAD defines them (arXiv 1606.05250, section 6; 2.0: arXiv 1806.03822, section 5).

Answers are compared without case, punctuation, the articles a, an, the, and superfluous spaces; F1 is that of their
bags of words. Of several right answers the best counts. Where there is no answer, only the empty text is right.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True)
class Match:
    """How well an answer matches, from 0 to 1."""

    exact: float
    f1: float


def normalize(text: str) -> str:
    """Return lower case without punctuation and articles, with single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def match(got: str, answers: Sequence[str]) -> Match:
    """Compare an answer with those that count as right; with none of them, the empty answer is right.

    As the official program for 2.0 does, answers of nothing but articles and punctuation are left out; where none
    remains, nothing is expected.
    """
    expected = [answer for answer in answers if normalize(answer)] or [""]
    return Match(
        max(float(normalize(got) == normalize(answer)) for answer in expected),
        max(word_f1(got, answer) for answer in expected),
    )


def word_f1(got: str, expected: str) -> float:
    """F1 of the words of two texts; where one has none, 1 if the other has none either."""
    found, there = normalize(got).split(), normalize(expected).split()
    if not found or not there:
        return float(found == there)
    shared = sum((Counter(found) & Counter(there)).values())
    return 2 * shared / (len(found) + len(there))
