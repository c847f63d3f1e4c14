"""Padding: the ``padding`` argument of a call, the padded length, and columns of ids filled up to that length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..core.errors import InputError, suggest

# Files write 1e30 for "no limit". No text is cut or padded to a length above this.
NO_LIMIT = 10**7

# What fills the columns that hold a value a token, beside the ids.
PAD_VALUES: Mapping[str, Any] = {
    "attention_mask": 0,
    "token_type_ids": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
}
_TENSOR_TYPES = {"torch": "pt", "numpy": "np", "tensorflow": "tf", "jax": "jax", "jaxlib": "jax"}
PaddingStrategy = Literal["longest", "max_length"]


def check_padding(value: bool | str | None) -> PaddingStrategy | None:
    """Turn the ``padding`` argument of a call into a strategy; None means that nothing is padded.

    Raises:
        InputError: the value is none of True, False, None, ``"longest"``, ``"max_length"`` and ``"do_not_pad"``.
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


def padded_length(
    lengths: Sequence[int], strategy: PaddingStrategy, max_length: int | None, multiple: int | None
) -> int:
    """Return the length to which all rows are padded.

    Args:
        lengths: the lengths of the rows.
        strategy: ``"longest"`` pads to the longest row, ``"max_length"`` to ``max_length``.
        max_length: for ``"max_length"``; None pads to the longest row.
        multiple: round up to a multiple of this; None does not round.

    Raises:
        InputError: ``multiple`` is below 1.
    """
    length = max_length if strategy == "max_length" and max_length is not None else max(lengths, default=0)
    if multiple is None:
        return length
    if multiple < 1:
        raise InputError(f"pad_to_multiple_of={multiple} must be at least 1.")
    return -(-length // multiple) * multiple


def as_columns(inputs: Any, ids_name: str) -> tuple[dict[str, list[Any]], bool]:
    """Bring the inputs of ``pad`` into one form: a dict from column to rows, with lists for arrays and tensors.

    Args:
        inputs: a dict of columns, of one row or of many, or a list of dicts of one row.
        ids_name: the column that must be present, ``"input_ids"``.

    Returns:
        The columns, and whether the input was a single row.

    Raises:
        InputError: ``inputs`` has another form, the column is missing, or the columns do not fit together.
    """
    if isinstance(inputs, Mapping):
        columns = {name: to_lists([*value] if isinstance(value, tuple) else value) for name, value in inputs.items()}
    elif isinstance(inputs, (list, tuple)) and inputs and all(isinstance(row, Mapping) for row in inputs):
        _check_names(inputs)
        columns = {name: [to_lists(row[name]) for row in inputs] for name in inputs[0]}
    else:
        raise InputError(f"pad needs a dict or a list of dicts, but got {type(inputs).__name__}: {str(inputs)[:60]!r}.")
    if ids_name not in columns:
        raise InputError(f"pad needs the column {ids_name!r}, but got only {list(columns)}.")
    ids = columns[ids_name]
    _check_is_list(ids_name, ids)
    is_single = bool(ids) and not isinstance(ids[0], (list, tuple))
    if is_single:
        columns = {name: [value] for name, value in columns.items()}
    if ids:
        _check_lengths(columns, ids_name)
    return columns, is_single


def _check_names(rows: Sequence[Mapping[str, Any]]) -> None:
    for index, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            name = next(name for name in (*rows[0], *row) if name not in row or name not in rows[0])
            has, lacks = (index, 0) if name in row else (0, index)
            raise InputError(
                f"pad needs rows with the same columns, but row {lacks} has no {name!r}, as row {has} has."
            )


def _check_lengths(columns: Mapping[str, Any], ids_name: str) -> None:
    """Check that all columns have as many rows as the ids, and those of tokens as many values in each row."""
    n_rows = len(columns[ids_name])
    for name, column in columns.items():
        _check_is_list(name, column)
        if len(column) != n_rows:
            raise InputError(f"The column {name!r} has {len(column)} rows, but {ids_name!r} has {n_rows}.")
    for name in (ids_name, *(name for name in PAD_VALUES if name in columns)):
        for index, (row, ids) in enumerate(zip(columns[name], columns[ids_name], strict=True)):
            if not isinstance(row, (list, tuple)):
                raise InputError(f"Row {index} of the column {name!r} must be a list, but is {row!r:.60}.")
            if len(row) != len(ids):
                raise InputError(f"Row {index} of {name!r} has {len(row)} values, but {len(ids)} of {ids_name!r}.")


def _check_is_list(name: str, column: Any) -> None:
    if isinstance(column, str) or not isinstance(column, Sequence):
        raise InputError(f"pad needs the column {name!r} as a list, but got {column!r:.60}.")


def pad_columns(
    columns: dict[str, list[Any]], pad_values: Mapping[str, Any], ids_name: str, length: int, side: str
) -> None:
    """Pad the rows of the columns up to ``length``, in place.

    Args:
        columns: column -> rows.
        pad_values: column -> value that fills its rows; columns without one stay as they are.
        ids_name: the column whose rows tell how many values are missing.
        length: the length of every row afterwards, unless it is longer already.
        side: ``"right"`` or ``"left"``.
    """
    missing = [max(0, length - len(row)) for row in columns[ids_name]]
    for name, value in pad_values.items():
        if name in columns:
            rows = zip(columns[name], missing, strict=True)
            columns[name] = [[*row, *[value] * n] if side == "right" else [*[value] * n, *row] for row, n in rows]


def tensor_type_of(inputs: Any, ids_name: str) -> str | None:
    """Return the name of the tensor type of the ids in the inputs of ``pad``; None if they are lists."""
    first: Any = inputs if isinstance(inputs, Mapping) else inputs[0]
    ids = first[ids_name]
    if isinstance(ids, (list, tuple)):
        ids = ids[0] if ids else None
    library = type(ids).__module__.partition(".")[0]
    return _TENSOR_TYPES.get(library) if hasattr(ids, "shape") and ids.shape != () else None


def to_lists(value: Any) -> Any:
    """Turn an array or tensor, or those in a list, into lists; other values stay as they are."""
    if hasattr(value, "numpy"):  # a tensor of TensorFlow has no tolist
        value = value.detach().cpu() if hasattr(value, "detach") else value.numpy()
    if hasattr(value, "tolist"):
        return value.tolist()
    # The offsets in a row are tuples and stay tuples.
    return [to_lists(item) for item in value] if isinstance(value, list) else value


def as_ids(value: Any, where: str) -> list[int]:
    """Return one id, or a list of ids, as a list; whole numbers of any type are ids.

    Args:
        value: the ids.
        where: the method that got them, for messages.

    Raises:
        InputError: it is something else, such as a text.
    """
    if hasattr(value, "__index__"):
        return [int(value)]
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InputError(f"{where} takes an id or a list of ids, got {value!r:.60} of type {type(value).__name__}.")
    ids = []
    for item in value:
        if not hasattr(item, "__index__") and not (isinstance(item, float) and item.is_integer()):
            raise InputError(f"{where} takes integers, but got {item!r:.60} of type {type(item).__name__}.")
        ids.append(int(item))
    return ids
