"""The worst errors of an evaluation as HTML: what was asked, what is right, what was answered. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .figures import number
from .report import said
from .run_record import Record

LONGEST = 600  # characters of a text
AROUND = 160  # characters of a context on either side of its answer

ORDERS = {
    "text-classification": "the surest first",
    "token-classification": "those with the most wrong entities first",
    "question-answering": "the lowest F1 first, and of equal ones the surest",
    "multiple-choice": "the surest first",
    "fill-mask": "the highest perplexity first",
}


def error_list(values: Record) -> str:
    """Return the section with the worst errors; empty where there are none."""
    worst = values.get("worst") or []
    if not worst:
        return ""
    numeric = values["task"] == "text-classification" and worst[0]["right"] is None
    order = "the largest difference first" if numeric else ORDERS.get(values["task"], "")
    items = "\n".join(f"<li>{_item(values['task'], row)}</li>" for row in worst)
    return (
        f"<h2>Worst {'examples' if worst[0]['right'] is None else 'errors'}</h2>\n"
        f'<p class="soft note">{said(order)}</p>\n<ol class="errors">\n{items}\n</ol>'
    )


def _item(task: str, row: Record) -> str:
    place = f'<p class="soft">{said(row["place"])}</p>'
    if task == "token-classification":
        marked = [
            f'<p class="{kind}"><b>{title}</b> {_marked(row["words"], row[key])}</p>'
            for kind, title, key in (("right", "expected", "expected"), ("wrong", "got", "got"))
        ]
        return place + "".join(marked)
    asked = [cut(row[key]) for key in ("context", "question", "text", "text_pair") if row.get(key)]
    if task == "question-answering":
        asked = [cut(row["question"])]
        place += f'<p class="context">{said(_around(row["context"], [*row["expected"], row["got"]]))}</p>'
    if task == "multiple-choice":
        asked += [f"· {choice}" for choice in row["choices"]]
    shown = "".join(f'<p class="asked">{said(text)}</p>' for text in asked)
    return f"{place}{shown}<p>{_verdict(task, row)}</p>"


def _verdict(task: str, row: Record) -> str:
    if task == "fill-mask":
        return f"{said(row['expected'])}, {said(row['got'])}, perplexity {number(row['score'])}"
    score = "difference" if row["right"] is None else "score"
    f1 = f", F1 {number(row['f1'])}" if "f1" in row else ""
    return (
        f"expected <b>{said(_written(row['expected']))}</b>, got <b>{said(_written(row['got']))}</b> "
        f'<span class="soft">({score} {number(row["score"])}{f1})</span>'
    )


def _written(answer: Any) -> str:
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return " / ".join(map(str, answer)) or "none"
    return number(answer) if isinstance(answer, float) else str(answer) or "no answer"


def _marked(words: Sequence[str], tags: Sequence[str]) -> str:
    """Return the words, those with a tag underlined and followed by it."""
    return " ".join(
        said(word) if tag == "O" else f'<mark>{said(word)}</mark> <span class="soft">{said(tag)}</span>'
        for word, tag in zip(words, tags, strict=True)
    )


def _around(context: str, answers: Sequence[str]) -> str:
    """Return the part of a context that holds the first of the answers found in it."""
    found = [place for answer in answers if answer and (place := context.find(answer)) >= 0]
    start = max(0, found[0] - AROUND) if found else 0
    return ("… " if start else "") + cut(context[start:], 2 * AROUND + 80)


def cut(text: str, longest: int = LONGEST) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= longest else text[: longest - 2] + " …"
