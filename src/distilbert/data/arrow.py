"""Parquet files, and the names of classes that they and the library ``datasets`` keep beside the numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from ..core.errors import DataError
from ..core.extras import require
from ..core.files import refuse_pointer

ClassNames = Mapping[str, list[str]]  # by column: the name of class 0, of class 1, ...


def open_parquet(path: Path) -> Any:
    """Open a parquet file: a ``pyarrow.parquet.ParquetFile``, which the caller closes.

    Raises:
        DataError: it is not a parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "parquet")
    refuse_pointer(path, DataError)
    try:
        return parquet.ParquetFile(path)
    except _damage() as error:
        raise DataError(f"{path} is not a parquet file: {_short(error)}") from None


def parquet_batches(
    table: Any, name: str, size: int, columns: list[str] | None, first_group: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of a parquet file, so many at a time.

    Args:
        table: from :func:`open_parquet`.
        name: of the file, for messages.
        size: rows at a time.
        columns: those to read; None for all.
        first_group: the row group to begin with.

    Raises:
        DataError: the file is damaged.
    """
    groups = range(first_group, table.num_row_groups)
    batches = table.iter_batches(batch_size=size, columns=columns, row_groups=groups)
    while True:
        try:
            values: list[dict[str, Any]] = next(batches).to_pylist()
        except StopIteration:
            return
        except _damage() as error:
            raise DataError(f"{name} is damaged: {_short(error)}") from None
        yield values


def _damage() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises for a damaged file, depending on where the damage is."""
    return (require("pyarrow", "parquet").ArrowException, ValueError, OSError, OverflowError)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def classes_of_parquet(schema: Any) -> ClassNames:
    """Return the class names in the schema of a parquet file; only files that ``datasets`` wrote have some."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        named = {
            name: feature.get("names") or (feature.get("feature") or {}).get("names")
            for name, feature in features.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
    return {column: names for column, names in named.items() if _are_names(names)}


def _are_names(names: Any) -> TypeGuard[list[str]]:
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)


def classes_of_dataset(features: Mapping[str, Any]) -> ClassNames:
    """Return the class names in the features of a ``datasets.Dataset``."""
    named = {
        column: getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        for column, feature in features.items()
    }
    return {column: names for column, names in named.items() if names}


def with_class_names(row: dict[str, Any], classes: ClassNames) -> dict[str, Any]:
    """Return a row with names in place of class numbers; -1, which stands for no label, becomes None."""
    return {**row, **{column: _name(row.get(column), names) for column, names in classes.items()}}


def _name(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_name(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
