"""Parquet files and data sets of the library ``datasets`` as tables.

A column of classes has numbers there, and their names in the features that ``datasets`` describes it by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .readers import open_parquet
from .table import Row, Table, table_of


def parquet_table(path: Path, name: str) -> Table:
    """Read a parquet file.

    Args:
        path: the file.
        name: as messages call it.

    Raises:
        DataError: it is no parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    with open_parquet(path) as file:
        schema = file.schema_arrow
        values = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    try:  # what datasets leaves in the files that it writes
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        classes = {column: names for column, feature in features.items() if (names := _names_in(feature))}
    except (KeyError, TypeError, ValueError, AttributeError):
        classes = {}
    return Table(name, tuple(schema.names), _number_rows(values, classes, name))


def _names_in(feature: dict[str, Any]) -> list[str]:
    return feature.get("names") or (feature.get("feature") or {}).get("names") or []


def dataset_table(data: Any, name: str) -> Table:
    """Take the rows of a ``datasets.Dataset``."""
    data = data.with_format(None)  # a saved one may come back as tensors
    features = data.features or {}
    classes = {}
    for column, feature in features.items():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            classes[column] = names
    rows = _number_rows(data, classes, name)
    return Table(name, tuple(features), rows) if features else table_of(name, rows)


def _number_rows(values: Iterable[dict[str, Any]], classes: dict[str, list[str]], name: str) -> list[Row]:
    """Give rows their places, and classes their names; -1, which says that there is no label, becomes None."""
    rows: list[Row] = []
    for number, row in enumerate(values, 1):
        named = {column: _class_names(row.get(column), names) for column, names in classes.items()}
        rows.append((f"{name}, row {number}", {**row, **named}))
    return rows


def _class_names(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_class_names(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
