"""A table: the rows of one source of labelled data, as they came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Row = tuple[str, dict[str, Any]]  # where it stands, such as "train.tsv:12", and its cells by column


@dataclass(frozen=True)
class Table:
    """The rows of one source.

    Attributes:
        name: the source, as messages call it.
        columns: names of the columns; of JSON objects, those that any of them has.
        rows: place and cells of each row, in order.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[Row]


def table_of(name: str, rows: Iterable[Row]) -> Table:
    """Return the table of rows whose columns are not known before."""
    collected = list(rows)
    columns: dict[str, None] = {}
    for _, row in collected:
        if row.keys() != columns.keys():
            columns |= dict.fromkeys(row)
    return Table(name, tuple(columns), collected)
