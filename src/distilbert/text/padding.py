"""Filling rows up to one length: the ``padding`` argument, encodings, and the dicts that collators hand over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..core.errors import InputError, suggest

# Files write 1e30 for "no limit"; nothing is ever cut or filled to such a length.
NO_LIMIT = 10**20

PaddingKind = Literal["longest", "max_length"]


def check_padding(value: bool | str | None) -> PaddingKind | None:
    """Turn the ``padding`` argument into a kind; None means that nothing is padded.

    Raises:
        InputError: the value is none of True, False, ``"longest"``, ``"max_length"`` and ``"do_not_pad"``.
    """
    value = getattr(value, "value", value)  # an enum of another library
    if value is None or value is False or value == "do_not_pad":
        return None
    if value is True or value == "longest":
        return "longest"
    if value == "max_length":
        return "max_length"
    known = ("longest", "max_length", "do_not_pad")
    raise InputError(
        f"padding={value!r} is not known: expected True, False, 'longest', 'max_length' or 'do_not_pad'."
        f"{suggest(str(value), known)}"
    )


def target_length(lengths: Sequence[int], kind: PaddingKind, max_length: int | None, multiple: int | None) -> int:
    """Length to which rows are filled.

    Args:
        lengths: the rows' own lengths.
        kind: ``"longest"`` for the longest row, ``"max_length"`` for ``max_length``.
        max_length: used by ``"max_length"``; None falls back to the longest row.
        multiple: round up to a multiple of this; None does not.
    """
    length = max_length if kind == "max_length" and max_length is not None else max(lengths, default=0)
    if multiple is None:
        return length
    if multiple < 1:
        raise InputError(f"pad_to_multiple_of={multiple} must be at least 1.")
    return -(-length // multiple) * multiple


def as_rows(inputs: Any, name: str) -> tuple[dict[str, list[Any]], bool]:
    """Bring the inputs of ``pad`` into the form column -> rows, every value a list.

    Args:
        inputs: a dict of columns, of one row or of many, or a list of dicts of one row.
        name: the column that must be there, ``"input_ids"``.

    Returns:
        The columns, and whether the input was one row only.
    """
    if isinstance(inputs, Mapping):
        columns = {key: _plain(value) for key, value in inputs.items()}
    elif isinstance(inputs, (list, tuple)) and inputs and all(isinstance(row, Mapping) for row in inputs):
        columns = {key: [_plain(row[key]) for row in inputs] for key in inputs[0]}
    else:
        raise InputError(f"pad needs a dict or a list of dicts, but got {type(inputs).__name__}: {str(inputs)[:60]!r}.")
    if name not in columns:
        raise InputError(f"pad needs the column {name!r}, but got only {list(columns)}.")
    ids = columns[name]
    is_single = bool(ids) and not isinstance(ids[0], (list, tuple))
    return ({key: [value] for key, value in columns.items()} if is_single else columns), is_single


def fill_columns(columns: dict[str, list[Any]], fills: Mapping[str, Any], name: str, length: int, side: str) -> None:
    """Fill the rows of the columns that have a fill value up to ``length``, in place.

    Args:
        columns: column -> rows.
        fills: column -> value for padding; columns that are not named stay as they are.
        name: the column whose rows tell how much is missing.
        length: length of every row afterwards, if it is not longer already.
        side: ``"right"`` or ``"left"``.
    """
    missing = [max(0, length - len(row)) for row in columns[name]]
    for column, fill in fills.items():
        if column in columns:
            pairs = zip(columns[column], missing, strict=True)
            columns[column] = [[*row, *[fill] * n] if side == "right" else [*[fill] * n, *row] for row, n in pairs]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    # Offsets are tuples within a row and stay tuples.
    return [_plain(item) for item in value] if isinstance(value, list) else value
