"""From rows to inputs of a task: which column of a table is which argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from ..core.counted import counted
from ..core.errors import DataError, UsageError, suggest
from ..tasks.task_spec import TEXT, InputForm, TaskSpec
from .list_literals import parse_list
from .row_stream import Row

SENTENCE = InputForm((TEXT,))  # one text a row, whatever the task: --source ranks single sentences
JOINT = "+"  # between the columns of a list argument: choices=A+B
Pairs = list[tuple[str, str]]  # (argument, column); a list argument may have several columns


class TaskInputs:
    """Makes the inputs of a task from rows.

    Args:
        task: the task.
        columns: the value of ``--column``: ``"a,b"`` or ``"argument=column,..."``; None: columns have the names of
            the arguments. A list argument takes a column of lists, or several columns: ``"choices=A+B"``.
        forms: the forms that an input can have, the usual one first; default: those of the task.

    Raises:
        UsageError: ``columns`` names an argument that the task does not have.
    """

    def __init__(self, task: TaskSpec, columns: str | None = None, forms: tuple[InputForm, ...] = ()) -> None:
        self._task = task.name
        self._forms = forms or task.inputs
        self._form = self._forms[0]
        self._stated = self._parse(columns) if columns else []
        self._unnamed: Set[str] = frozenset()
        self._guessed = ""  # the column of the text, which the first columns seen decide for all rows
        self._matched: dict[tuple[str, ...], tuple[InputForm, Pairs]] = {}

    def match(
        self,
        columns: Iterable[str],
        unnamed: Set[str] = frozenset(),
        repeated: Set[str] = frozenset(),
        name: str = "",
    ) -> Pairs:
        """Return (argument, column) pairs for the columns that a table or an object has.

        Args:
            columns: their names.
            unnamed: those to which the header gives no name; they are used only if asked for.
            repeated: names that several columns have; these cannot be used.
            name: the file, for messages.

        Raises:
            UsageError: a column asked for does not exist or is not the only one of its name, or the column of an
                argument cannot be guessed; the message lists the columns.
        """
        self._unnamed = unnamed
        where = f"{name}: " if name else ""
        try:
            pairs = self._match(tuple(columns))[1]
        except UsageError as error:
            raise UsageError(f"{where}{error}") from None
        if ambiguous := [column for _, column in pairs if column in repeated]:
            raise UsageError(
                f"{where}The header has {ambiguous[0]!r} more than once, so any of these columns could be meant. "
                "Rename all but one."
            )
        return pairs

    def input_of(self, value: Any) -> Any:
        """Return the task's input that a row holds: a text, or a dict of arguments.

        Args:
            value: the value of a row: columns by name, the fields of a line, or a text.

        Raises:
            DataError: the row lacks a column, or a value is not text.
        """
        item = self._from_columns(value) if isinstance(value, Mapping) else self._from_fields(value)
        for column in self._form.columns:
            if column.is_list and column.name in item and len(item[column.name]) < column.fewest:
                raise DataError(
                    f"{column.name!r} has {counted(len(item[column.name]), 'text')}, and at least {column.fewest} are "
                    f'needed: a list such as ["x", "y"], or a column for each: --column {column.name}=A{JOINT}B'
                )
        return item["text"] if list(item) == ["text"] else item

    def settle(self, rows: Iterable[Row]) -> None:
        """Let the first of some rows decide which columns are meant, for rows further down that are read alone."""
        for row in rows:
            if not row.problem and isinstance(row.value, Mapping):
                self._match(tuple(row.value))
                return

    def as_columns(self, value: Any) -> dict[str, Any]:
        """Return the value of a row as named columns, for ``--keep-input``."""
        return dict(value) if isinstance(value, Mapping) else self._from_fields(value)

    def _parse(self, option: str) -> Pairs:
        """Return the (argument, column) pairs of ``--column``; a column without argument gets the next free one."""
        arguments = {column.name: column for form in self._forms for column in form.columns}
        other_names = {other: name for name, column in arguments.items() for other in column.other_names}
        items = [item.strip() for item in option.split(",")]
        if "" in items:
            raise UsageError(f"--column {option!r} has an empty name; write a,b or argument=column,...")
        if all("=" not in item and item in arguments for item in items):
            return [(item, item) for item in items]
        pairs: Pairs = []
        stated = {item.partition("=")[0] for item in items if "=" in item}
        for item in items:
            name, equals, column = item.partition("=")
            if not equals:
                name, column = self._next_argument(stated | {name for name, _ in pairs}, option, len(items)), item
            name = name if name in arguments else other_names.get(name, name)
            if name not in arguments:
                raise UsageError(
                    f"--column: {self._task} has no argument {name!r}.{suggest(name, arguments)} "
                    f"It has {', '.join(arguments)}."
                )
            if name in dict(pairs) and not arguments[name].is_list:
                raise UsageError(f"--column {option!r} names {name!r} twice.")
            pairs.append((name, column))
        return pairs

    def _next_argument(self, taken: set[str], option: str, count: int) -> str:
        form = self._form
        free = [name for name in form.names if name not in taken or name == form.list_column]
        if not free:
            raise UsageError(
                f"--column {option!r} names {count} columns, but an input of {self._task} has "
                f"{len(form.names)}: {', '.join(form.names)}."
            )
        return free[0]

    def _match(self, columns: tuple[str, ...]) -> tuple[InputForm, Pairs]:
        if columns in self._matched:
            return self._matched[columns]
        known = [column for column in columns if column not in self._unnamed]
        listing = f"Columns found: {', '.join(known) or 'none'}."
        stated = [(name, each) for name, column in self._stated for each in self._split(name, column, columns)]
        for _, column in stated:
            if column not in columns:
                raise UsageError(f"There is no column {column!r}.{suggest(column, columns)} {listing}")
        names = {name for name, _ in stated} or set(columns)
        form = next((form for form in self._forms[1:] if names >= set(form.names)), self._form)
        pairs = stated or [(name, name) for name in form.names if name in columns]
        if form.required == (TEXT.name,) and TEXT.name not in dict(stated):
            if self._guessed and self._guessed not in columns:
                raise UsageError(f"There is no column {self._guessed!r}. {listing}")
            self._guessed = self._guessed or self._guess_text(columns, known)
            pairs = [(TEXT.name, self._guessed), *((name, column) for name, column in pairs if name != TEXT.name)]
            pairs = [(name, column) for name, column in pairs if column]
        missing = [name for name in form.required if name not in dict(pairs)]
        if missing:
            example = ",".join(f"{name}=COLUMN" for name in form.required)
            raise UsageError(f"Which column is {' and which is '.join(missing)}? Say so: --column {example}. {listing}")
        self._matched[columns] = form, pairs
        return form, pairs

    def _split(self, name: str, column: str, columns: tuple[str, ...]) -> list[str]:
        """Return the columns that were stated for an argument: one, or for a list several with ``JOINT`` between."""
        is_list = any(name == form.list_column for form in self._forms)
        return column.split(JOINT) if is_list and column not in columns else [column]

    def _guess_text(self, columns: tuple[str, ...], known: list[str]) -> str:
        """Return the column of the text: by its name, or the only one; empty where there is none."""
        usual = next((name for name in (TEXT.name, *TEXT.other_names) if name in columns), "")
        return usual or (known[0] if len(known) == 1 else "")

    def _from_columns(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            form, pairs = self._match(tuple(row))
        except UsageError as error:
            if not self._matched:  # no row has had these columns yet: the command is wrong, not this row
                raise
            raise DataError(str(error)) from None
        item: dict[str, Any] = {}
        for name, column in pairs:
            value = row[column]
            if name == form.list_column:
                item[name] = [*item.get(name, []), *_texts(value, column)]
            elif value not in (None, "") or name in form.required:
                item[name] = _text(value, column)
        return item

    def _from_fields(self, value: Any) -> dict[str, Any]:
        """Name the fields of a line, or a text that is a whole row."""
        fields = [value] if isinstance(value, str) else list(value)
        names = [name for name, _ in self._stated] or list(self._form.names)
        list_column = self._form.list_column
        if len(names) == 1:  # there is nothing to separate, so a tab belongs to the text
            return {names[0]: "\t".join(_text(field, names[0]) for field in fields)}
        if names[-1] == list_column and len(fields) >= len(names):
            fields = [*fields[: len(names) - 1], fields[len(names) - 1 :]]
        if not self._form.fewest_fields <= len(fields) <= len(names):
            raise DataError(f"{counted(len(fields), 'field')} where a tab separates {', '.join(names)}")
        return {
            name: _texts(field, name) if name == list_column else _text(field, name)
            for name, field in zip(names, fields, strict=False)
        }


def _text(value: Any, column: str) -> str:
    """Return a text; one of nothing but whitespace is as empty in a table as it is on a line."""
    if not isinstance(value, str):
        described = "null" if value is None else f"{value!r:.40} of type {type(value).__name__}"
        raise DataError(f"{column!r} must be text, got {described}")
    return "" if value.isspace() else value


def _texts(value: Any, column: str) -> list[str]:
    """Return the texts of a list, which may have become text, or of a single text."""
    if isinstance(value, str) and isinstance(parsed := parse_list(value), list):
        value = parsed
    return [_text(text, column) for text in (value if isinstance(value, list) else [value])]
