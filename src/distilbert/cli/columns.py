"""From rows to inputs: which column of a table is which argument of a task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import DataError, UsageError, suggest


@dataclass(frozen=True)
class Form:
    """What an input of a task looks like.

    Attributes:
        names: its arguments in the natural order, in which a tab separates them on a line.
        fewest: how many of them a line must have.
        optional: those that a table may lack, and whose cells may be empty.
        many: the argument that is a list of texts, if there is one; always the last.
    """

    names: tuple[str, ...]
    fewest: int
    optional: tuple[str, ...] = ()
    many: str = ""

    @property
    def required(self) -> list[str]:
        """Names of the arguments that must be there."""
        return [name for name in self.names if name not in self.optional]


TEXT = Form(("text",), 1)
PAIR = Form(("text", "text_pair"), 1, optional=("text_pair",))
FORMS = {
    "text-classification": PAIR,
    "token-classification": TEXT,
    "question-answering": Form(("question", "context"), 2),
    "fill-mask": TEXT,
    "feature-extraction": TEXT,
    "zero-shot-classification": TEXT,
    "multiple-choice": Form(("context", "question", "choices"), 3, ("context", "question"), "choices"),
    "sentence-similarity": Form(("text", "text_pair"), 2),
}
RANKING = Form(("source_sentence", "sentences"), 2, many="sentences")
TASK_ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}
ARGUMENT_ALIASES = {"inputs": "text", "args": "text", "sequences": "text", "sequence": "text", "sentence": "text"}


def canonical_task(task: str) -> str:
    """Return the name of a task, from its name or an alias.

    Raises:
        UsageError: there is no such task; the message lists them.
    """
    name = TASK_ALIASES.get(task, task)
    if name not in FORMS:
        raise UsageError(
            f"There is no task {task!r}.{suggest(task, [*FORMS, *TASK_ALIASES])} Tasks: {', '.join(FORMS)} "
            f"(also {', '.join(TASK_ALIASES)})."
        )
    return name


class Columns:
    """Makes a task's inputs from rows.

    Args:
        task: name of the task.
        wanted: value of ``--column``: ``"a,b"`` or ``"argument=column,..."``; None: columns named as the arguments.
        single: take one text a row, whatever the task (``--source`` ranks single sentences).

    Raises:
        UsageError: ``wanted`` names an argument that the task does not have.
    """

    def __init__(self, task: str, wanted: str | None = None, *, single: bool = False) -> None:
        self.task = task
        self.form = TEXT if single else FORMS[task]
        self.pairs = self._parse(wanted) if wanted else []
        self._seen: dict[tuple[str, ...], tuple[Form, list[tuple[str, str]]]] = {}

    def _parse(self, wanted: str) -> list[tuple[str, str]]:
        """Return (argument, column) pairs; a column that is not named by its argument takes the next free one."""
        known = [*self.form.names, *(RANKING.names if self.task == "sentence-similarity" else ())]
        parts = [part.strip() for part in wanted.split(",")]
        if "" in parts:
            raise UsageError(f"--column {wanted!r} has an empty name; write a,b or argument=column,...")
        pairs: list[tuple[str, str]] = []
        if all("=" not in part and part in known for part in parts):
            return [(part, part) for part in parts]
        stated = {part.partition("=")[0] for part in parts if "=" in part}
        for part in parts:
            name, equals, column = part.partition("=")
            if not equals:
                taken = stated | {name for name, _ in pairs}
                free = [name for name in self.form.names if name not in taken or name == self.form.many]
                if not free:
                    raise UsageError(
                        f"--column {wanted!r} names {len(parts)} columns, but an input of {self.task} has "
                        f"{len(self.form.names)}: {', '.join(self.form.names)}."
                    )
                name, column = free[0], part
            name = name if name in known else ARGUMENT_ALIASES.get(name, name)
            if name not in known:
                raise UsageError(
                    f"--column: {self.task} has no argument {name!r}.{suggest(name, known)} It has {', '.join(known)}."
                )
            if name in dict(pairs) and name not in (self.form.many, RANKING.many):
                raise UsageError(f"--column {wanted!r} names {name!r} twice.")
            pairs.append((name, column))
        return pairs

    def settle(self, found: Iterable[str]) -> tuple[Form, list[tuple[str, str]]]:
        """Decide, from the names of the columns that a table or an object has, which is which argument.

        Returns:
            The form of the input, and (argument, column) pairs.

        Raises:
            UsageError: a column asked for is not there, or none could be guessed; the message lists those found.
        """
        found = tuple(found)
        if found in self._seen:
            return self._seen[found]
        form, pairs = self.form, self.pairs
        there = f"Columns found: {', '.join(found) or 'none'}."
        for _, column in pairs:
            if column not in found:
                raise UsageError(f"There is no column {column!r}.{suggest(column, found)} {there}")
        names = {name for name, _ in pairs} or set(found)
        if self.task == "sentence-similarity" and form is not TEXT and set(RANKING.names) <= names:
            form = RANKING
        if not pairs:
            pairs = [(name, name) for name in form.names if name in found]
        if form.required == ["text"] and "text" not in dict(pairs):
            column = next((name for name in ARGUMENT_ALIASES if name in found), found[0] if len(found) == 1 else "")
            pairs = [*([("text", column)] if column else []), *pairs]
        missing = [name for name in form.required if name not in dict(pairs)]
        if missing:
            example = ",".join(f"{name}=COLUMN" for name in form.required)
            raise UsageError(f"Which column is {' and which is '.join(missing)}? Say so: --column {example}. {there}")
        self._seen[found] = form, pairs
        return form, pairs

    def input(self, row: Any) -> Any:
        """Return the task's input that a row holds: a text, or a dict of arguments.

        Raises:
            DataError: the row lacks a column, or a cell holds something other than text.
        """
        if isinstance(row, Mapping):
            item = self._from_cells(row)
        else:
            item = self._from_fields([row] if isinstance(row, str) else row)
        return item["text"] if list(item) == ["text"] else item

    def as_columns(self, row: Any) -> dict[str, Any]:
        """Return the row itself as named columns, for ``--keep-input``."""
        return dict(row) if isinstance(row, Mapping) else self._from_fields([row] if isinstance(row, str) else row)

    def _from_cells(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            form, pairs = self.settle(row)
        except UsageError as error:
            if not self._seen:  # nothing has worked yet: the command is wrong, not this row
                raise
            raise DataError(str(error)) from None
        item: dict[str, Any] = {}
        for name, column in pairs:
            value = row[column]
            if name == form.many:
                item[name] = [*item.get(name, []), *_texts(value, column)]
            elif value not in (None, "") or name in form.required:
                item[name] = _text(value, column)
        return item

    def _from_fields(self, fields: list[Any]) -> dict[str, Any]:
        """Name the fields of a line."""
        names = [name for name, _ in self.pairs] or list(self.form.names)
        if len(names) == 1:  # nothing to separate: a tab is part of the text
            return {names[0]: "\t".join(_text(field, names[0]) for field in fields)}
        if names[-1] == self.form.many and len(fields) >= len(names):
            fields = [*fields[: len(names) - 1], fields[len(names) - 1 :]]
        if not self.form.fewest <= len(fields) <= len(names):
            count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            raise DataError(f"{count} where a tab separates {', '.join(names)}")
        item = dict(zip(names, fields, strict=False))
        return {
            name: _texts(value, name) if name == self.form.many else _text(value, name) for name, value in item.items()
        }


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        kind = "null" if value is None else f"{value!r:.40} of type {type(value).__name__}"
        raise DataError(f"{column!r} must be text, got {kind}")
    return value


def _texts(value: Any, column: str) -> list[str]:
    """Return a list of texts from a list, from a JSON list in a cell of a text file, or from one text."""
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = [value]
    return [_text(text, column) for text in (value if isinstance(value, list) else [value])]
