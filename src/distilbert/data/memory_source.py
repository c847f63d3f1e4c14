"""Labelled data that is in memory: DataFrames, data sets, tables and lists of rows, used where files are named."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Self

from ..core.errors import DataError
from .row_stream import repeated_names

PREFIX = "memory:"


class MemorySource(str):
    """Data in memory under a name that says what it is; settings and reports hold that name.

    The name contains a hash of the content, so that a run is resumed with the same data or not at all.

    Attributes:
        content: a ``datasets.Dataset``, or rows as dicts by column.
        repeated: names that several columns have, so that it is unknown which one is meant.
    """

    __slots__ = ("content", "repeated")
    content: Any
    repeated: frozenset[str]

    @classmethod
    def of(cls, data: Any) -> Self:
        """Wrap data.

        Args:
            data: a DataFrame of pandas or polars, a ``datasets.Dataset``, a ``pyarrow.Table``, or rows as dicts.

        Raises:
            DataError: it is of another type.
        """
        rows, names = _rows_of(data)
        kind = "rows" if isinstance(data, list | tuple) else type(data).__name__
        content = hashlib.blake2b(digest_size=8)
        for row in rows:
            content.update(json.dumps(row, default=str, sort_keys=True).encode("utf-8", "surrogatepass"))
        name = f"{PREFIX}{kind}:{len(rows)}:{content.hexdigest()}"
        return cls._restored(name, data if hasattr(data, "features") else rows, repeated_names(names))

    @classmethod
    def _restored(cls, name: str, content: Any, repeated: frozenset[str]) -> Self:
        source = cls(name)
        source.content, source.repeated = content, repeated
        return source

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self._restored, (str(self), self.content, self.repeated)


def as_sources(data: Any) -> list[str]:
    """Return what a user named as data as a list of sources.

    Args:
        data: a path, something in memory (see :meth:`MemorySource.of`), or a list of both.

    Raises:
        DataError: something is neither.
    """
    if isinstance(data, list | tuple):
        if data and all(isinstance(item, Mapping) for item in data):
            return [MemorySource.of(data)]
        return [_as_source(item) for item in data]
    return [_as_source(data)]


def check_is_in_memory(source: str) -> None:
    """Raise :class:`DataError` if ``source`` names data that was in the memory of an earlier process."""
    if source.startswith(PREFIX) and not isinstance(source, MemorySource):
        raise DataError(
            f"{source} was data in memory, which is gone. Call the same function from Python with the same data, or "
            "save the data to a file."
        )


def _as_source(item: Any) -> str:
    return os.fspath(item) if isinstance(item, str | os.PathLike) else MemorySource.of(item)


def _rows_of(data: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Return data as dicts by column, in which missing values are None, and the names of all columns of a table."""
    if isinstance(data, Mapping) and not hasattr(data, "columns"):
        names = ", ".join(map(str, data))
        raise DataError(f"The data is a dict with {names}: name one of these, or rows as a list of dicts.")
    columns: Iterable[Any] = ()
    if hasattr(data, "to_pylist") and hasattr(data, "schema"):  # pyarrow
        columns = data.schema.names
        rows: Iterable[Any] = data.to_pylist()
    elif hasattr(data, "to_dicts"):  # polars
        rows = data.to_dicts()
    elif hasattr(data, "columns") and hasattr(data, "iloc"):  # pandas
        columns = data.columns
        rows = data.loc[:, ~data.columns.duplicated(keep="last")].to_dict("records")
    elif hasattr(data, "features") or (
        isinstance(data, list | tuple) and all(isinstance(row, Mapping) for row in data)
    ):  # datasets
        rows = data
    else:
        raise DataError(
            f"Data must be a path, a DataFrame, a datasets.Dataset or a list of rows, got a {type(data).__name__}."
        )
    plain = [{str(column): _plain(value) for column, value in row.items()} for row in rows]
    return plain, [str(column) for column in columns]


def _plain(value: Any) -> Any:
    """Return a value as Python has it; what pandas has for a missing value becomes None."""
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, float) and value != value:
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value
