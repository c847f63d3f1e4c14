"""Labelled data as checked examples; a row that cannot be used is an error that names its place."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.counted import counted
from ..core.errors import DataError, suggest
from .character_spans import parse_spans, span_columns, tag_words
from .column_roles import JOINT, Roles, assign_roles
from .examples import (
    EVALUATED_TASKS,
    Answer,
    ChoiceExample,
    Example,
    QuestionExample,
    TaggedExample,
    TextExample,
)
from .list_literals import parse_list
from .messages import listed, type_name
from .row_stream import Row
from .row_values import choice_of, is_marked, is_missing, label_of, text_of, texts_of, value_of, words_of
from .table import Table, read_table
from .word_rows import join_words


@dataclass(frozen=True)
class ExampleSet:
    """Examples, and where they come from.

    Attributes:
        examples: in the order of the sources and their rows.
        columns: the column of each role, whether it was stated or guessed, with ``+`` between several columns of one
            role. If the columns of sources differ, this is the first source that has the role.
        sources: files, folders and names, as they were passed.
        label_names: the labels that the form of the data states, in their order, whether a row has them or not: the
            columns of 0 and 1, or the numbers of the places in lists of 0 and 1. Empty for any other form.
    """

    examples: list[Example]
    columns: dict[str, str]
    sources: list[str]
    label_names: tuple[str, ...] = ()


def read_examples(
    task: str,
    sources: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    delimiter: str = "",
    encoding: str = "",
    split: str = "train",
    labelled: bool = True,
) -> ExampleSet:
    """Read labelled data from files, folders and data sets.

    Args:
        task: one of ``EVALUATED_TASKS``; it decides what a row must have.
        sources: any of

            - a ``.csv`` or ``.tsv`` file with a header; in a .tsv file a field is quoted only where it has to be
            - a ``.jsonl`` file: an object a line
            - a ``.json`` file: objects in an array or on lines, or SQuAD's form
              or, for token-classification, a text with spans of characters (doccano, Label Studio)
            - a ``.conll`` file, for token-classification: a word a line with its tag, a blank line between sentences
            - a ``.txt`` file: the same for token-classification; a text a line for fill-mask
            - any of these compressed (``.gz`` or ``.zst``)
            - a ``.parquet`` file
            - a folder written by ``datasets.save_to_disk``
            - the name of a data set on the hub, ``NAME`` or ``NAME:CONFIG``
        columns: the column of each role (``text``, ``text_pair``, ``label``; ``words``, ``tags``; ``question``,
            ``context``, ``answers``, ``key``, ``choices``); roles that are not stated are guessed by usual names.
            ``label=a+b+c`` for text-classification: each label has a column of 0 and 1. In a ``.conll`` file
            ``words`` and ``tags`` may be numbers of columns, counted from 1.
        delimiter: between columns; empty for the usual one of the format, or the one that is detected.
        encoding: of files of text; empty for UTF-8.
        split: the split of a data set that has several.
        labelled: every row must have a label. Otherwise a source may lack the label's column, even if it is stated,
            and a row whose label is empty or missing has none; a question may have no answers.

    Rows with an empty text or label are left out, with a warning that counts them, if most rows of the source are
    complete.

    Raises:
        DataError: a source, column or row cannot be used; the message names file and line.
        MissingExtraError: pyarrow or datasets is needed and not installed.
    """
    if task not in EVALUATED_TASKS:
        raise DataError(
            f"There is no labelled data for {task!r}, but for {', '.join(EVALUATED_TASKS)}."
            f"{suggest(task, EVALUATED_TASKS)}"
        )
    names = [os.fspath(source) for source in ([sources] if isinstance(sources, str) else sources)]
    if not names:
        raise DataError("Labelled data needs at least one source: a file, a folder, or the name of a data set.")
    reader = _READERS[task]
    examples: list[Example] = []
    columns_used: dict[str, str] = {}
    label_names: tuple[str, ...] = ()
    for name in names:
        stated = dict(columns or {})
        numbers = {role: int(stated[role]) for role in ("words", "tags") if stated.get(role, "").isdecimal()}
        table = read_table(
            name,
            task,
            delimiter=delimiter,
            encoding=encoding,
            split=split,
            word_column=numbers.get("words", 0),
            tag_column=numbers.get("tags", 0),
        )
        if table.columns == ("words", "tags"):
            stated = {role: column for role, column in stated.items() if role not in numbers}
        table, stated = reader.prepare(table, stated)
        roles = assign_roles(
            task, table.columns, name, stated, labelled=labelled, unnamed=table.unnamed, repeated=table.repeated
        )
        columns_used = {role: JOINT.join(names) for role, names in roles.items()} | columns_used
        table = _complete_rows(table, roles, labelled)
        read, of_form = reader.name_labels(reader.examples(table, roles, labelled, len(examples)), roles)
        label_names = label_names or of_form
        examples += read
    return ExampleSet(examples, columns_used, names, label_names)


# The roles that must hold something in every row, where a column plays them.
_NEVER_EMPTY = ("text", "text_pair", "label", "words", "tags", "question", "context")


def _complete_rows(table: Table, roles: Roles, labelled: bool) -> Table:
    """Return a table without its rows that lack a text or a label, if most rows have them.

    A row that lacks something is left in where it is the reader's to judge: where most rows are like it, and where
    an object has no such key.
    """
    if "choices" in roles:  # there a context or a question may be empty
        checked = [*roles.get("label", ())] if labelled else []
    else:
        targets = () if labelled else ("label", "tags")
        checked = [name for role in _NEVER_EMPTY if role in roles and role not in targets for name in roles[role]]
    kept: list[Row] = []
    missing: dict[str, int] = {}
    first = ""
    for row in table.rows:
        column = next((name for name in checked if name in row.value and is_missing(row.value[name])), None)
        if column is None:
            kept.append(row)
        else:
            missing[column] = missing.get(column, 0) + 1
            first = first or row.place
    left_out = sum(missing.values())
    if not left_out or 2 * left_out >= len(table.rows):
        return table
    warnings.warn(
        f"{table.name}: {counted(left_out, 'row was', 'rows were')} left out of {len(table.rows):,}, with nothing "
        f"under {listed(missing)} (the first is {first}).",
        stacklevel=3,
    )
    return replace(table, rows=kept)


def _texts(table: Table, roles: Roles, labelled: bool, before: int) -> list[Example]:
    text, text_pair = roles["text"][0], _column(roles, "text_pair")
    return [
        TextExample(
            row.place,
            text_of(row, text),
            None if text_pair is None else text_of(row, text_pair),
            _label(row, roles.get("label", ()), labelled),
        )
        for row in table.rows
    ]


def _label(row: Row, columns: tuple[str, ...], labelled: bool) -> str | tuple[str, ...] | float | None:
    if len(columns) > 1:  # a column of 0 and 1 for each label
        if not labelled and all(is_missing(row.value.get(column)) for column in columns):
            return None
        return tuple(column for column in columns if is_marked(row, column))
    return label_of(row, columns[0], labelled) if columns else None


def _labels_of_form(examples: list[Example], roles: Roles) -> tuple[list[Example], tuple[str, ...]]:
    """Return examples with the names of their labels, and all labels where the form of the data states them.

    In lists of 0 and 1, all of one length, the number of each place that has 1 is a label.
    """
    if len(roles.get("label", ())) > 1:
        return examples, roles["label"]
    labels = [example.label for example in examples if isinstance(example, TextExample) and example.label is not None]
    lists = [label for label in labels if isinstance(label, tuple)]
    if not lists:
        return examples, ()
    # A list of one word without quotation marks looks like a text, unless it stands among lists.
    one_word = {label: (label[1:-1],) for label in labels if isinstance(label, str) and label[:1] + label[-1:] == "[]"}
    changed: dict[Any, tuple[str, ...]] = dict(one_word)
    names: tuple[str, ...] = ()
    if not one_word and len(lists) == len(labels) and is_multi_hot(lists):
        names = tuple(map(str, range(len(lists[0]))))
        changed = {label: tuple(names[place] for place, mark in enumerate(label) if mark in MARKS) for label in lists}
    if not changed:
        return examples, ()
    return [
        replace(example, label=changed.get(example.label, example.label))
        if isinstance(example, TextExample)
        else example
        for example in examples
    ], names


MARKS = ("1", "true")


def is_multi_hot(lists: Sequence[tuple[str, ...]]) -> bool:
    """Tell whether lists hold 0 or 1 for each label, and not the labels themselves.

    All have one length, more than 1, and nothing but 0 and 1. Of two labels, ``[0, 1]`` in every row could be both.
    """
    length = len(lists[0])
    if length < 2 or any(len(label) != length or not set(label) <= {"0", "1", "false", "true"} for label in lists):
        return False
    return length > 2 or set(lists) != {("0", "1")}


def _tagged_words(table: Table, stated: dict[str, str]) -> tuple[Table, dict[str, str]]:
    """Return a table of words as one of sentences, and the columns of texts and spans that it may have instead."""
    table = join_words(table)
    return table, span_columns(table.rows, table.columns) | stated


def _sentences(table: Table, roles: Roles, labelled: bool, before: int) -> list[Example]:
    examples: list[Example] = []
    column = _column(roles, "tags")
    for row in table.rows:
        text, spans = row.value.get(roles["words"][0]), None
        is_tagged = column is not None and (labelled or not is_missing(row.value.get(column)))
        if column is not None and isinstance(text, str):
            spans = parse_spans(row.value.get(column))
        if spans is not None and isinstance(text, str):
            examples.append(TaggedExample(row.place, *tag_words(text, spans, row.place)))
            continue
        tags = words_of(row, column) if column is not None and is_tagged else None
        words = words_of(row, roles["words"][0], None if tags is None else len(tags))
        if tags is not None and len(tags) != len(words):
            raise DataError(
                f"{row.place} has {counted(len(words), 'word')}, but {counted(len(tags), 'tag')}; each word needs one."
            )
        examples.append(TaggedExample(row.place, words, tags))
    return examples


def _questions(table: Table, roles: Roles, labelled: bool, before: int) -> list[Example]:
    examples: list[Example] = []
    for number, row in enumerate(table.rows, before + 1):
        question, context = (text_of(row, roles[role][0]) for role in ("question", "context"))
        key = str(value_of(row, roles["key"][0])) if "key" in roles else str(number)
        answers = _answers(row, roles.get("answers", ()))
        if answers is None and labelled:
            raise DataError(f"{row.place} has no answers; an empty list says that the context does not answer it.")
        for answer in answers or ():
            _check_start(answer, context, row.place)
        examples.append(QuestionExample(row.place, key, question, context, tuple(answers or ()), answers is not None))
    return examples


def _answers(row: Row, columns: tuple[str, ...]) -> list[Answer] | None:
    """Return the answers of a row, from any of the usual forms; None where the row says nothing about them."""
    if not columns or row.value.get(columns[0]) is None:
        return None
    value = row.value[columns[0]]
    if isinstance(value, str) and len(columns) == 1:
        parsed = parse_list(value)
        value = value if parsed is None else parsed
    if len(columns) == 2:  # text and start in columns of their own; an empty text says that there is no answer
        if value == "":
            return []
        value = {"text": value, "answer_start": value_of(row, columns[1])}
    if isinstance(value, dict):
        texts, starts = (value.get(name, value.get(name.removeprefix("answer_"))) for name in ("text", "answer_start"))
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise DataError(f"{row.place}: answers need as many 'answer_start' as 'text', got {value!r:.80}.")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise DataError(
            f"{row.place}: {columns[0]!r} must hold a list of answers, each with 'text' and 'answer_start', got "
            f"{value!r:.80} of type {type_name(value)}."
        )
    return [_answer(item, row.place) for item in value]


def _answer(item: Any, place: str) -> Answer:
    text = item.get("text") if isinstance(item, dict) else None
    start = item.get("answer_start", item.get("start")) if isinstance(item, dict) else None
    if isinstance(start, str) and start.strip().isdecimal() and len(start) < 20:
        start = int(start)
    if not isinstance(text, str) or not text.strip() or isinstance(start, bool) or not isinstance(start, int):
        raise DataError(
            f"{place}: an answer needs a 'text' and its first character as 'answer_start', got {item!r:.80}."
        )
    return Answer(text, start)


def _check_start(answer: Answer, context: str, place: str) -> None:
    """Check that an answer stands where it says; the message lists where its text does stand."""
    text, start = answer.text, answer.start
    if start >= 0 and context.startswith(text, start):
        return
    is_inside = 0 <= start < len(context)
    what_is_there = f"there is {context[start : start + len(text)]!r:.60}" if is_inside else "nothing is there"
    starts: list[str] = []
    position = context.find(text)
    while position >= 0 and len(starts) < 4:
        starts.append(str(position))
        position = context.find(text, position + 1)
    advice = (
        f"It is at {', '.join(starts[:3])}{' ...' if len(starts) > 3 else ''}." if starts else "It is nowhere in it."
    )
    raise DataError(
        f"{place}: the answer {text!r:.60} is not at character {start} of the context; {what_is_there}. {advice}"
    )


def _choices(table: Table, roles: Roles, labelled: bool, before: int) -> list[Example]:
    examples: list[Example] = []
    label = _column(roles, "label")
    for row in table.rows:
        context, question = (
            text_of(row, roles[role][0], may_be_empty=True) if role in roles else "" for role in ("context", "question")
        )
        if not context.strip() and not question.strip():
            raise DataError(f"{row.place} has neither a context nor a question.")
        columns = roles["choices"]
        choices = texts_of(row, columns[0]) if len(columns) == 1 else tuple(text_of(row, column) for column in columns)
        if len(choices) < 2:
            raise DataError(f"{row.place} has one choice; at least two are needed.")
        index = None if label is None else choice_of(row, label, choices, labelled)
        examples.append(ChoiceExample(row.place, context, question, choices, index))
    return examples


def _column(roles: Roles, role: str) -> str | None:
    return roles[role][0] if role in roles else None


@dataclass(frozen=True)
class TaskReader:
    """How the tables of a task become examples.

    Attributes:
        examples: takes a table, the columns of the roles, whether rows must be labelled, and how many examples come
            before.
        prepare: brings a table into the form that ``examples`` reads; takes and returns the columns that were stated.
        name_labels: replaces the labels of examples by their names, and returns the names that the form of the data
            states.
    """

    examples: Callable[[Table, Roles, bool, int], list[Example]]
    prepare: Callable[[Table, dict[str, str]], tuple[Table, dict[str, str]]] = lambda table, stated: (table, stated)
    name_labels: Callable[[list[Example], Roles], tuple[list[Example], tuple[str, ...]]] = lambda examples, roles: (
        examples,
        (),
    )


_READERS = {
    "text-classification": TaskReader(_texts, name_labels=_labels_of_form),
    "token-classification": TaskReader(_sentences, prepare=_tagged_words),
    "question-answering": TaskReader(_questions),
    "multiple-choice": TaskReader(_choices),
    "fill-mask": TaskReader(_texts),
    "sentence-similarity": TaskReader(_texts),
}
