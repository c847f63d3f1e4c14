"""Answers as columns: the names that an answer's values have beside an input's, and tables with these columns added.

The libraries of the tables are never imported: a table brings its own methods.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ..core.errors import InputError
from .columns import Column, check_is_collected, is_missing, to_inputs
from .task_spec import InputForm, TaskSpec

RESULT = "result"
TABLES = "a DataFrame of pandas or polars, an Arrow table, a datasets.Dataset, rows as dicts, or a dict of columns"


def named(answer: Any) -> dict[str, Any]:
    """Return an answer as named values: a dict has names already, a number is a ``score``, a list a ``result``."""
    if isinstance(answer, Mapping):
        return dict(answer)
    return {"score": answer} if isinstance(answer, float) else {RESULT: answer}


def free_name(name: str, taken: Container[str]) -> str:
    """Return ``name``, with the prefix ``result_`` as often as there is already a column of that name."""
    while name in taken:
        name = f"{RESULT}_{name}"
    return name


def columns_of_arguments(names: Sequence[Any], forms: Sequence[InputForm]) -> list[str]:
    """Return the columns of a table that are called as the arguments of an input.

    Args:
        names: of all columns.
        forms: the forms that an input can have.

    Raises:
        InputError: no form has all its columns.
    """
    form = next((form for form in forms if set(form.required) <= set(names)), None)
    if form is None:
        expected = " or ".join(" and ".join(map(repr, form.required)) for form in forms)
        raise InputError(
            f"The table has no column {expected}; it has {', '.join(map(repr, names)) or 'none'}. Pass column=, the "
            'name of the column to read, or a dict such as {"text": "NAME"} of names by argument.'
        )
    return [name for name in form.names if name in names]


def to_rows(table: Any, column: Column, forms: Sequence[InputForm]) -> list[Any]:
    """Return the inputs in the rows of a table; ``column`` as in :func:`~distilbert.tasks.columns.to_inputs`.

    Raises:
        InputError: ``column`` names no columns of the table.
    """
    items = list(to_inputs(table, column))
    if isinstance(column, str):
        return items
    arguments = {argument.name: argument for form in forms for argument in form.columns}
    return [_without_gaps(item, [name for name, each in arguments.items() if not each.required]) for item in items]


def example_input(spec: TaskSpec, column: Column) -> Any:
    """Return an input that works and has the arguments that ``column`` gives."""
    example = spec.example.input
    names = [] if isinstance(column, str) else list(column)
    if not isinstance(example, Mapping) or not names or set(names) <= set(example):
        return example
    lists = {argument.name for form in spec.inputs for argument in form.columns if argument.is_list}
    return {name: ["a red car", "the weather"] if name in lists else "a red car" for name in names}


def _without_gaps(item: dict[str, Any], optional: Container[str]) -> Any:
    """Return the arguments of a row; those that may be left out are, where their cell is empty."""
    arguments = {name: value for name, value in item.items() if name not in optional or not is_missing(value)}
    return arguments["text"] if list(arguments) == ["text"] else arguments


def to_columns(answers: Sequence[Any], example: Any, taken: Container[str]) -> dict[str, list[Any]]:
    """Return answers as columns of a table.

    Args:
        answers: one for each row; None where there is none.
        example: an answer that says which columns there are where all answers are None.
        taken: names of the columns that the table has.

    Returns:
        Values by the name of the column, with None in the rows without an answer.
    """
    rows = [None if answer is None else named(answer) for answer in answers]
    names = dict.fromkeys(name for row in rows if row is not None for name in row) or named(example)
    return {free_name(name, taken): [None if row is None else row.get(name) for row in rows] for name in names}


def column_names(table: Any) -> list[Any]:
    """Return the names of the columns of a table.

    Raises:
        InputError: it is not a table, or one whose rows are not in memory.
    """
    kind = type(table).__name__
    check_is_collected(table)
    if isinstance(table, Mapping) and any(hasattr(split, "column_names") for split in table.values()):
        raise InputError(f"The input is a {kind}: choose one of its splits, {', '.join(table)}.")
    if isinstance(table, list) and all(isinstance(row, Mapping) for row in table):
        return list(dict.fromkeys(name for row in table for name in row))
    if isinstance(table, Mapping):
        return list(table)
    if not hasattr(table, "__len__") and hasattr(table, "column_names"):
        raise InputError(f"The input is a {kind}, which is read row by row: use its map() with this task.")
    for attribute in ("column_names", "columns"):  # of Arrow and datasets, of pandas and polars
        names = getattr(table, attribute, None)
        if names is not None and not callable(names) and _method_to_add(table):
            return list(names)
    if hasattr(table, "to_frame"):
        raise InputError(f"The input is a {kind}, which is one column: pass a table, such as its to_frame().")
    raise InputError(f"A table is needed, which is {TABLES}; got a {kind}.")


def with_columns(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    """Return a table of the same kind with columns added on the right; ``table`` itself stays as it is.

    The index of pandas is kept. Whole numbers with gaps become its ``Int64``, which has missing values. In the other
    libraries a column has one type: where lists differ in depth, the less deep ones get further lists around them.
    """
    if isinstance(table, list):
        return [{**row, **{name: values[place] for name, values in columns.items()}} for place, row in enumerate(table)]
    if isinstance(table, Mapping):
        return {**table, **columns}
    if hasattr(table, "assign"):  # pandas
        return _with_pandas_columns(table, columns)
    columns = {name: _of_one_depth(values) for name, values in columns.items()}
    if hasattr(table, "hstack"):  # polars
        return table.hstack(type(table)(columns, strict=False))
    if hasattr(table, "add_column") and hasattr(table, "features"):  # datasets
        for name, values in columns.items():
            table = table.add_column(name, values)
        return table
    added = type(table).from_pydict(columns)  # Arrow
    for name in columns:
        table = table.append_column(name, added.column(name))
    return table


def _of_one_depth(values: list[Any]) -> list[Any]:
    """Put lists around values until all are nested as deeply as the deepest; None and empty lists fit any depth.

    Fill-mask answers one mask with a list, and several with a list of lists.
    """
    deepest = max(map(_depth, values), default=0)
    result = []
    for value in values:
        fits = value is None or (isinstance(value, list) and not value)
        for _ in range(0 if fits else deepest - _depth(value)):
            value = [value]
        result.append(value)
    return result


def _depth(value: Any) -> int:
    """Return how many lists are around the first thing that is not a list."""
    return 1 + (_depth(value[0]) if value else 0) if isinstance(value, list) else 0


def _method_to_add(table: Any) -> bool:
    return any(hasattr(table, name) for name in ("assign", "hstack", "add_column", "append_column"))


def _with_pandas_columns(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    result = table.copy()
    for name, values in columns.items():
        result[name] = values
        present = [value for value in values if value is not None]
        if 0 < len(present) < len(values) and all(type(value) is int for value in present):
            result[name] = result[name].astype("Int64")
    return result
