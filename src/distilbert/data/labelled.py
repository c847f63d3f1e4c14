"""Labelled data as examples: every row is checked, and one that cannot be used is an error that names its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import DataError, suggest
from .cells import as_choice, as_label, as_text, as_texts, as_words, cell, is_missing
from .columns import JOINT, Roles, assign
from .examples import (
    FINETUNE_TASKS,
    Answer,
    ChoiceExample,
    Example,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from .readers import kind_of
from .rows import read_table
from .table import Table


@dataclass(frozen=True)
class Reading:
    """What was read.

    Attributes:
        examples: in the order of the sources and their rows.
        columns: the column of each role, guessed ones included; ``+`` stands between several of one role. Of sources
            with different columns the first that has the role counts.
        sources: what was read, as it was given.
    """

    examples: list[Example]
    columns: dict[str, str]
    sources: list[str]


def read_examples(
    task: str,
    sources: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str = "",
    split: str = "train",
    labelled: bool = True,
) -> Reading:
    """Read labelled data.

    Args:
        task: one of ``FINETUNE_TASKS``; it decides what a row must have.
        sources: any of

            - ``.csv``, ``.tsv`` with a header (in a .tsv nothing is quoted), ``.jsonl``, ``.json`` (objects on lines
              or in an array, or SQuAD's form), ``.conll`` or ``.txt`` (token-classification: a word a line with its
              tag in the last column, a blank line between sentences; fill-mask: ``.txt`` with a text a line); all of
              these also compressed (``.gz``)
            - a ``.parquet`` file
            - a folder written by ``datasets.save_to_disk``
            - the name of a data set on the hub, ``NAME`` or ``NAME:CONFIG``
        columns: the column of each role (``text``, ``text_pair``, ``label``; ``words``, ``tags``; ``question``,
            ``context``, ``answers``, ``key``, ``choices``); roles that are not stated are guessed by usual names.
        delimiter: between columns, where it is not the usual one of the format.
        split: of a data set that has several.
        labelled: every row must have a label. Otherwise a source may lack the column, even where it is stated, and a
            row whose cell is empty or missing has no label; a question may have no answers.

    Raises:
        DataError: a source, column or row cannot be used; the message names file and line.
        MissingExtraError: pyarrow or datasets is needed and not installed.
    """
    if task not in FINETUNE_TASKS:
        raise DataError(
            f"There is no labelled data for {task!r}, but for {', '.join(FINETUNE_TASKS)}."
            f"{suggest(task, FINETUNE_TASKS)}"
        )
    names = [os.fspath(source) for source in ([sources] if isinstance(sources, str) else sources)]
    if not names:
        raise DataError("Labelled data needs at least one source: a file, a folder, or the name of a data set.")
    examples: list[Example] = []
    used: dict[str, str] = {}
    for name in names:
        table = read_table(name, task, delimiter=delimiter, split=split)
        roles = assign(task, table.columns, name, columns, labelled=labelled)
        used |= {role: JOINT.join(of_role) for role, of_role in roles.items() if role not in used}
        examples += _MAKERS[task](table, roles, labelled, len(examples))
    return Reading(examples, used, names)


def _texts(table: Table, roles: Roles, labelled: bool, first: int) -> list[Example]:
    text, pair, label = roles["text"][0], _column(roles, "text_pair"), _column(roles, "label")
    return [
        TextExample(
            place,
            as_text(row, text, place),
            None if pair is None else as_text(row, pair, place),
            None if label is None else as_label(_target(row, label, place, labelled), label, place, labelled),
        )
        for place, row in table.rows
    ]


def _sentences(table: Table, roles: Roles, labelled: bool, first: int) -> list[Example]:
    examples: list[Example] = []
    column = _column(roles, "tags")
    for place, row in table.rows:
        words = as_words(row, roles["words"][0], place)
        is_tagged = column is not None and (labelled or not is_missing(row.get(column)))
        tags = as_words(row, column, place) if column is not None and is_tagged else None
        if tags is not None and len(tags) != len(words):
            raise DataError(f"{place} has {len(words)} words, but {len(tags)} tags; each word needs one.")
        examples.append(TaggedExample(place, words, tags))
    return examples


def _questions(table: Table, roles: Roles, labelled: bool, first: int) -> list[Example]:
    examples: list[Example] = []
    for number, (place, row) in enumerate(table.rows, first + 1):
        question, context = (as_text(row, roles[role][0], place) for role in ("question", "context"))
        key = str(cell(row, roles["key"][0], place)) if "key" in roles else str(number)
        found = _answers(row, roles.get("answers", ()), place)
        if found is None and labelled:
            raise DataError(f"{place} has no answers; an empty list says that the context does not answer it.")
        for answer in found or ():
            _check_offset(answer, context, place)
        examples.append(QuestionExample(place, key, question, context, tuple(found or ()), found is not None))
    return examples


def _answers(row: Mapping[str, Any], columns: tuple[str, ...], place: str) -> list[Answer] | None:
    """Return the answers of a row, from any of the usual forms; None where it says nothing of them."""
    if not columns or row.get(columns[0]) is None:
        return None
    value = row[columns[0]]
    if len(columns) == 2:  # text and start in columns of their own; an empty text says that there is none
        if value == "":
            return []
        value = {"text": value, "answer_start": cell(row, columns[1], place)}
    if isinstance(value, dict):
        texts, starts = (value.get(name, value.get(name.removeprefix("answer_"))) for name in ("text", "answer_start"))
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise DataError(f"{place}: answers need as many 'answer_start' as 'text', got {value!r:.80}.")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise DataError(
            f"{place}: {columns[0]!r} must hold a list of answers, each with 'text' and 'answer_start', got "
            f"{value!r:.80} of type {kind_of(value)}."
        )
    return [_answer(item, place) for item in value]


def _answer(item: Any, place: str) -> Answer:
    text = item.get("text") if isinstance(item, dict) else None
    start = item.get("answer_start", item.get("start")) if isinstance(item, dict) else None
    if isinstance(start, str) and start.strip().isdecimal():
        start = int(start)
    if not isinstance(text, str) or not text.strip() or isinstance(start, bool) or not isinstance(start, int):
        raise DataError(
            f"{place}: an answer needs a 'text' and its first character as 'answer_start', got {item!r:.80}."
        )
    return Answer(text, start)


def _check_offset(answer: Answer, context: str, place: str) -> None:
    text, start = answer.text, answer.start
    if start >= 0 and context.startswith(text, start):
        return
    there = f"there is {context[start : start + len(text)]!r:.60}" if 0 <= start < len(context) else "nothing is there"
    found: list[str] = []
    position = context.find(text)
    while position >= 0 and len(found) < 4:
        found.append(str(position))
        position = context.find(text, position + 1)
    advice = f"It is at {', '.join(found[:3])}{' ...' if len(found) > 3 else ''}." if found else "It is nowhere in it."
    raise DataError(f"{place}: the answer {text!r:.60} is not at character {start} of the context; {there}. {advice}")


def _choices(table: Table, roles: Roles, labelled: bool, first: int) -> list[Example]:
    examples: list[Example] = []
    for place, row in table.rows:
        context, question = (
            as_text(row, roles[role][0], place, may_be_empty=True) if role in roles else ""
            for role in ("context", "question")
        )
        if not context.strip() and not question.strip():
            raise DataError(f"{place} has neither a context nor a question.")
        columns = roles["choices"]
        choices = (
            as_texts(row, columns[0], place)
            if len(columns) == 1
            else tuple(as_text(row, column, place) for column in columns)
        )
        if len(choices) < 2:
            raise DataError(f"{place} has one choice; at least two are needed.")
        column = _column(roles, "label")
        label = (
            None
            if column is None
            else as_choice(_target(row, column, place, labelled), choices, column, place, labelled)
        )
        examples.append(ChoiceExample(place, context, question, choices, label))
    return examples


def _target(row: Mapping[str, Any], column: str, place: str, labelled: bool) -> Any:
    return cell(row, column, place) if labelled else row.get(column)


def _column(roles: Roles, role: str) -> str | None:
    return roles[role][0] if role in roles else None


_MAKERS: dict[str, Callable[[Table, Roles, bool, int], list[Example]]] = {
    "text-classification": _texts,
    "token-classification": _sentences,
    "question-answering": _questions,
    "multiple-choice": _choices,
    "fill-mask": _texts,
}
