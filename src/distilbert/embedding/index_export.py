"""An index as one file for other programs: parquet, PostgreSQL with pgvector, Qdrant."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..core.errors import InputError
from ..core.extras import require
from ..core.files import replacing
from .index_records import Id, Record

ENDINGS = {".parquet": "parquet", ".copy": "pgvector", ".jsonl": "qdrant"}
_PARQUET_ROWS = 1024
_ID_SPACE = uuid.UUID("a5c7d1de-5a0b-5b7e-9d0c-0d2f3c0f6a11")  # in which ids that are texts become UUIDs for Qdrant
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


class Exportable(Protocol):
    """What is exported: an index, its records and vectors in the same order."""

    @property
    def dim(self) -> int:
        """Numbers of a vector."""

    def __iter__(self) -> Iterator[Record]: ...

    def vectors(self) -> Iterator[np.ndarray]:
        """Yield the vectors, (R, D) each."""


def export(index: Exportable, path: Path, format: str | None = None) -> None:
    """Write all entries; see :meth:`Index.export`."""
    format = format_of_export(path, format)
    with replacing(path) as temporary:
        _WRITERS[format](index, temporary)


def format_of_export(path: Path, format: str | None = None) -> str:
    """Return the format that is stated, or that the ending of the name tells.

    Raises:
        InputError: neither tells one.
    """
    name = format or ENDINGS.get(path.suffix.lower())
    if name not in _WRITERS:
        endings = ", ".join(f"{ending} ({each})" for ending, each in ENDINGS.items())
        given = f"format {format!r}" if format else f"The name {str(path)!r}"
        raise InputError(f"{given} is of no known format: end the name in {endings}, or state format=.")
    return name


def _entries(index: Exportable) -> Iterator[tuple[Record, np.ndarray]]:
    """Yield each record with its vector, (D,)."""
    records = iter(index)
    for block in index.vectors():
        for vector in block:
            yield next(records), vector


def _check_ids(index: Exportable, exported: Callable[[Id], Id]) -> None:
    """Check that the ids of all entries still differ when they are exported.

    Raises:
        InputError: two become the same.
    """
    given: dict[Id, Id] = {}
    for record in index:
        identifier = exported(record["id"])
        if identifier in given:
            raise InputError(
                f"The ids {given[identifier]!r:.80} and {record['id']!r:.80} would both be {identifier!r:.80} in this "
                "format: remove one of these entries and add it under another id."
            )
        given[identifier] = record["id"]


def _write_parquet(index: Exportable, path: Path) -> None:
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    ids_are_numbers = all(isinstance(record["id"], int) for record in index)
    if not ids_are_numbers:
        _check_ids(index, _valid_id)
    schema = arrow.schema(
        [
            ("id", arrow.int64() if ids_are_numbers else arrow.string()),
            ("text", arrow.string()),
            ("metadata", arrow.string()),
            ("vector", arrow.list_(arrow.float32(), index.dim)),
        ]
    )
    records = iter(index)
    with parquet.ParquetWriter(path, schema) as writer:
        for block in index.vectors():
            rows = [next(records) for _ in block]
            flat = arrow.array(np.ascontiguousarray(block).reshape(-1))
            columns = [
                arrow.array(
                    [row["id"] if ids_are_numbers else _valid_id(row["id"]) for row in rows], schema.field("id").type
                ),
                arrow.array([_valid(row["text"]) for row in rows], arrow.string()),
                arrow.array([_valid(_json(row["metadata"])) for row in rows], arrow.string()),
                arrow.FixedSizeListArray.from_arrays(flat, index.dim),
            ]
            writer.write_table(arrow.table(columns, schema=schema), row_group_size=_PARQUET_ROWS)


def _write_pgvector(index: Exportable, path: Path) -> None:
    """Write lines for ``COPY table (id, content, metadata, embedding) FROM STDIN``: fields with tabs between them."""
    _check_ids(index, lambda identifier: _without_nul(_valid_id(identifier)))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record, vector in _entries(index):
            numbers = ",".join(map(_shortest, vector.tolist()))
            identifier, text, metadata = map(_without_nul, (str(record["id"]), record["text"], record["metadata"]))
            file.write("\t".join(map(_copy_field, (identifier, text, _json(metadata), f"[{numbers}]"))) + "\n")


def _copy_field(value: str | None) -> str:
    if value is None:
        return "\\N"
    return re.sub("[\\\\\b\f\n\r\t\v]", lambda match: _ESCAPES[match[0]], _valid(value) or "")


def _without_nul(value: Any) -> Any:
    """Return a value of JSON without the character NUL, which PostgreSQL stores neither in texts nor in JSON."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(member) for name, member in value.items()}
    return [_without_nul(member) for member in value] if isinstance(value, list) else value


def _write_qdrant(index: Exportable, path: Path) -> None:
    """Write a point a line: ``{"id", "vector", "payload"}``, the members of ``points`` of Qdrant's upsert."""
    _check_ids(index, qdrant_id)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record, vector in _entries(index):
            point_id = qdrant_id(record["id"])
            own: dict[str, Any] = {} if record["text"] is None else {"text": record["text"]}
            if point_id != record["id"]:
                own["id"] = record["id"]
            payload = _beside(record["metadata"], own) | own
            numbers = "[" + ",".join(map(_shortest, vector.tolist())) + "]"
            start = _json({"id": point_id})[:-1]
            file.write(_valid(f'{start},"vector":{numbers},"payload":{_json(payload)}}}\n') or "")


def _beside(metadata: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return metadata in which names that the payload itself uses have a ``_`` at their end, or as many as it takes."""
    named: dict[str, Any] = {}
    for name, value in metadata.items():
        free = name
        while free in own or (free != name and free in metadata):
            free += "_"
        named[free] = value
    return named


def qdrant_id(identifier: Id) -> int | str:
    """Return an id that Qdrant takes: a whole number from 0 on, or a UUID, which a text and any other number become."""
    if isinstance(identifier, int) and identifier >= 0:
        return identifier
    try:
        return str(uuid.UUID(str(identifier)))
    except ValueError:
        return str(uuid.uuid5(_ID_SPACE, f"{type(identifier).__name__}:{identifier}"))


def _shortest(number: float) -> str:
    """Return the shortest text that is read as the same float32."""
    return np.format_float_scientific(np.float32(number), unique=True, trim="-", exp_digits=1)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _valid_id(identifier: Id) -> str:
    """Return an id as a text that UTF-8 can hold."""
    return _valid(str(identifier)) or ""


def _valid(text: str | None) -> str | None:
    """Return a text without halves of surrogate pairs, which UTF-8 does not have."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


_WRITERS: dict[str, Callable[[Exportable, Path], None]] = {
    "parquet": _write_parquet,
    "pgvector": _write_pgvector,
    "qdrant": _write_qdrant,
}
