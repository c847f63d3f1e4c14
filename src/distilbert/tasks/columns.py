"""Inputs as columns and tables of other libraries: NumPy, pandas, polars, Arrow, datasets. None of them is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.errors import InputError, suggest

Column = str | Sequence[str] | Mapping[str, str]


def to_inputs(inputs: Any, column: Column | None = None) -> Any:
    """Return what a task was called with in plain Python.

    Args:
        inputs: a column (a Series, a one-dimensional array, a ``Column`` of a dataset) becomes a list, and a
            ``datasets.Dataset`` the list of its rows. An array without dimensions becomes its value. With ``column`` it
            is a table, or the rows of one as mappings. Everything else, such as one text, a list or an iterator, stays
            as it is.
        column: name of the column that holds the inputs, or names of several, which together make one dict a row; a
            dict says which argument of the task each is, such as ``{"question": "q", "context": "passage"}``.

    Raises:
        InputError: a table without ``column``, a column that does not exist, or an array of several dimensions.
    """
    if column is not None:
        check_is_collected(inputs)
        return _pick(inputs, column)
    if isinstance(inputs, Mapping) and inputs and all(hasattr(split, "column_names") for split in inputs.values()):
        raise InputError(f"The input is a {type(inputs).__name__}: choose one of its splits, {', '.join(inputs)}.")
    check_is_collected(inputs)
    names = _column_names(inputs)
    if names is not None and not (isinstance(inputs, Iterable) and hasattr(inputs, "column_names")):
        # Iterating over pandas or polars gives names or columns. The rows of a dataset are inputs.
        raise InputError(
            f"The input is a {type(inputs).__name__} with the columns {', '.join(map(repr, names))}: pass column=, the "
            f"name of the column to read, such as column={_likely(names)!r}, or a list of names for one dict a row."
        )
    return list(inputs) if names is not None and hasattr(inputs, "__len__") else _plain(inputs)


def check_is_collected(table: Any) -> None:
    """Check that a table has rows: a ``LazyFrame`` of polars is only a plan to compute some.

    Raises:
        InputError: it is one.
    """
    if hasattr(table, "collect") and hasattr(table, "collect_schema"):
        raise InputError(f"The input is a {type(table).__name__}, whose rows are not computed yet: pass its collect().")


def is_missing(value: Any) -> bool:
    """Whether this is what libraries of tables have for no value: None, NaN, ``pandas.NA``, ``NaT``."""
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _plain(inputs: Any) -> Any:
    """Return a column as a list; anything else as it is."""
    if inputs is None or isinstance(inputs, (str, bytes, list, tuple, Mapping)):
        return inputs
    dimensions = getattr(inputs, "ndim", 1)
    if dimensions == 2 and inputs.shape[1] == 1:
        inputs, dimensions = inputs.reshape(-1), 1
    if isinstance(dimensions, int) and dimensions > 1:
        shape = tuple(inputs.shape)
        raise InputError(
            f"The input is a {type(inputs).__name__} of shape {shape}; a column of inputs has one dimension."
        )
    for method in ("to_pylist", "tolist", "to_list"):
        if callable(getattr(inputs, method, None)):
            return getattr(inputs, method)()
    return list(inputs) if isinstance(inputs, Sequence) else inputs


def _column_names(inputs: Any) -> list[str] | None:
    """Return the names of the columns of a table; None where there are none."""
    if isinstance(inputs, (str, bytes, list, tuple, Mapping)):
        return None
    for attribute in ("column_names", "columns"):  # of Arrow and datasets, of pandas and polars
        names = getattr(inputs, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return None


def _pick(inputs: Any, column: Column) -> Any:
    """Return the inputs under ``column``: a list of those of a table, and lazily those of an iterator over rows."""
    if isinstance(column, Mapping) and column and all(isinstance(name, str) for name in column.values()):
        return _pick_fields(inputs, column)
    if not isinstance(column, str):
        if not isinstance(column, Sequence) or not column or not all(isinstance(name, str) for name in column):
            raise InputError(
                f"column must be the name of a column or a list of names, got {column!r}. A dict of names by argument "
                "works as well."
            )
        return _pick_fields(inputs, {name: name for name in column})
    if inputs is None or isinstance(inputs, (str, bytes)):
        raise InputError(f"column={column!r} goes with a table or with rows, got {inputs!r:.80}.")
    names = list(inputs) if isinstance(inputs, Mapping) else _column_names(inputs)
    if names is None:
        picked = (_field(row, column) for row in _rows(inputs))
        return list(picked) if isinstance(inputs, Sequence) else picked
    if column not in names:
        known = [str(name) for name in names]
        raise InputError(f"There is no column {column!r}.{suggest(column, known)} Columns are: {', '.join(known)}.")
    if not hasattr(inputs, "__len__"):  # an iterable dataset
        return (row[column] for row in inputs)
    values = inputs[column]
    return [values] if isinstance(values, str) else list(_plain(values))


def _pick_fields(inputs: Any, columns: Mapping[str, str]) -> Any:
    """Return dicts by argument; ``columns`` are names of columns by argument."""
    if _is_table(inputs):
        picked = [_pick(inputs, name) for name in columns.values()]
        return [dict(zip(columns, values, strict=True)) for values in zip(*picked, strict=True)]
    rows = ({argument: _field(row, name) for argument, name in columns.items()} for row in _rows(inputs))
    return list(rows) if isinstance(inputs, Sequence) else rows


def _is_table(inputs: Any) -> bool:
    named = any(hasattr(inputs, name) for name in ("columns", "column_names"))
    return isinstance(inputs, Mapping) or (named and hasattr(inputs, "__len__"))


def _rows(inputs: Any) -> Iterable[Any]:
    return inputs if isinstance(inputs, Iterable) else (inputs[index] for index in range(len(inputs)))


def _field(row: Any, column: str) -> Any:
    if not isinstance(row, Mapping):
        raise InputError(f"column={column!r} goes with a table or with rows that are dicts; a row is {row!r:.80}.")
    if column not in row:
        known = [str(name) for name in row]
        raise InputError(f"A row has no field {column!r}.{suggest(column, known)} Fields are: {', '.join(known)}.")
    return row[column]


def _likely(names: Sequence[Any]) -> Any:
    """Return the name to show in a message: one that usually holds texts, or the first."""
    usual = ("text", "sentence", "review", "content", "comment")
    return next((name for name in names if name in usual), names[0] if names else "text")
