"""A wrong answer as the evaluation page shows it; each task's file makes the entries of its own results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..reports.number_format import number

LONGEST_TEXT = 600  # characters of a text


@dataclass(frozen=True)
class ErrorEntry:
    """A wrong answer.

    Attributes:
        place: file and line of the example.
        context: the part of a context that holds the answer.
        asked: what the model was asked, a paragraph each.
        tagged: for a tagged sentence: style class, title, and the words with their tags.
        expected: the right answer.
        got: the model's answer.
        score: how it was scored.
        is_count: ``expected`` and ``got`` are counts and not answers.
    """

    place: str
    context: str = ""
    asked: Sequence[str] = ()
    tagged: Sequence[tuple[str, str, list[tuple[str, str]]]] = ()
    expected: str = ""
    got: str = ""
    score: str = ""
    is_count: bool = False


def answer_entry(
    result: Mapping[str, Any],
    asked: Sequence[str],
    *,
    context: str = "",
    score_name: str = "score",
    more_scores: str = "",
) -> ErrorEntry:
    """Return the entry of a result with one right and one wrong answer.

    Args:
        result: as ``evaluation.json`` holds it, see :func:`.task_metrics.example_results`.
        asked: what the model was asked, a paragraph each.
        context: the part of a context that holds the answer.
        score_name: what the score is.
        more_scores: text behind the score.
    """
    return ErrorEntry(
        result["place"],
        context,
        asked,
        expected=_answer_text(result["expected"]),
        got=_answer_text(result["got"]),
        score=f"{score_name} {number(result['score'])}{more_scores}",
    )


def asked_texts(result: Mapping[str, Any], *keys: str) -> list[str]:
    """Return the texts under these keys of a result, shortened; absent and empty ones are left out."""
    return [shortened(result[key]) for key in keys if result.get(key)]


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= longest else text[: longest - 2] + " …"


def _answer_text(answer: Any) -> str:
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return " / ".join(map(str, answer)) or "none"
    return number(answer) if isinstance(answer, float) else str(answer) or "no answer"
