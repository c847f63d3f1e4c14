"""What stands beside each vector of an index: its id, its text, its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, overload

import numpy as np

from ..core.errors import DataError, InputError, suggest
from ..tasks.columns import is_missing, to_inputs

Id = int | str
Where = Mapping[str, Any] | Callable[[Mapping[str, Any]], Any]


class Record(TypedDict):
    """One entry of an index.

    Attributes:
        id: a whole number or a text.
        text: what the vector stands for; None in an index of bare vectors.
        metadata: values by name; empty where there are none.
    """

    id: Id
    text: str | None
    metadata: dict[str, Any]


class RecordFile(Sequence[Record]):
    """The records in a file of JSON lines, read when they are asked for.

    Args:
        path: of the file.
        offsets: (N + 1,) int64, where each line begins, and the size of the file.
    """

    def __init__(self, path: Path, offsets: np.ndarray) -> None:
        self._path, self._offsets = path, offsets
        self._bytes = np.memmap(path, dtype=np.uint8, mode="r")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        line = self._bytes[self._offsets[place] : self._offsets[place + 1]].tobytes()
        return self._parsed(line, place)

    def __iter__(self) -> Iterator[Record]:
        return (self[place] for place in range(len(self)))

    def _parsed(self, line: bytes, place: int) -> Record:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not is_record(record):
            raise DataError(
                f"{self._path}: line {place + 1} is no record of an index, so this file is damaged, or the one beside "
                "it that ends in offsets.npy."
            )
        return Record(id=record["id"], text=record["text"], metadata=record["metadata"])


def copy_of(record: Record) -> Record:
    """Return a record that can be changed while the one of the index stays as it is."""
    return Record(id=record["id"], text=record["text"], metadata=_copied(record["metadata"]))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


def is_record(value: Any) -> bool:
    """Whether a value read from JSON is a record."""
    return (
        isinstance(value, dict)
        and is_id(value.get("id"))
        and isinstance(value.get("metadata"), dict)
        and (value.get("text", 0) is None or isinstance(value.get("text"), str))
    )


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a text, or a whole number that 64 bits hold."""
    return isinstance(value, str) or (type(value) is int and -(2**63) <= value < 2**63)


def to_line(record: Record) -> bytes:
    """Return a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def to_records(
    count: int, ids: Iterable[Any], texts: Sequence[str] | None, metadata: Sequence[Any] | None
) -> list[Record]:
    """Return the records of what is added to an index.

    Args:
        count: how many there are.
        ids: of each.
        texts: of each; None: there are no texts.
        metadata: a dict for each, or None where there is nothing; None: there is none at all.

    Raises:
        InputError: the numbers of them differ, or one of them cannot be written as JSON.
    """
    ids = [identifier.item() if isinstance(identifier, np.generic) else identifier for identifier in ids]
    for name, values in (("ids", ids), ("texts", texts), ("metadata", metadata)):
        if values is not None and len(values) != count:
            raise InputError(f"There are {count:,} vectors and {len(values):,} {name}: one for each is needed.")
    for place, identifier in enumerate(ids):
        if not is_id(identifier):
            raise InputError(f"ids[{place}] must be a text or a whole number of 64 bits, got {identifier!r:.80}.")
    records = []
    for place in range(count):
        details = _checked_metadata(metadata[place], place) if metadata is not None else {}
        records.append(Record(id=ids[place], text=None if texts is None else texts[place], metadata=details))
    return records


def _checked_metadata(values: Any, place: int) -> dict[str, Any]:
    """Return metadata as plain JSON."""
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise InputError(f"metadata[{place}] must be a dict with names as keys, got {values!r:.80}.")
    plain = _as_json(list(values.values()), f"metadata[{place}]")
    return dict(zip(map(str, values), plain, strict=True))


def _as_json(values: list[Any], described: str) -> list[Any]:
    """Return values as they are read again when they have been written as JSON.

    Raises:
        InputError: they cannot be written.
    """
    values = [None if is_missing(value) else value for value in values]
    try:
        plain: list[Any] = json.loads(json.dumps(values, allow_nan=False, default=_to_plain))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{described} cannot be written as JSON: {error}.") from None
    return plain


def _to_plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if hasattr(value, "isoformat"):  # dates and times
        return value.isoformat()
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}")


def to_choices(where: Any) -> dict[str, list[Any]]:
    """Return which values a search asks for, by name, in the form that metadata have.

    Args:
        where: values by name: ``{"language": "en", "year": [2023, 2024]}`` asks for entries whose language is ``"en"``
            and whose year is one of two. Anything that can be iterated over stands for several values, such as a
            range, an array or a Series; only a text and a dict are values themselves.

    Raises:
        InputError: it is no dict, or metadata cannot have such a value.
    """
    if not isinstance(where, Mapping):
        raise InputError(f"where must be a dict of values by name, or a function of the metadata, got {where!r:.80}.")
    choices = {}
    for name, value in where.items():
        value = to_inputs(value)
        is_one = isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)
        choices[name] = _as_json([value] if is_one else list(value), f"where[{name!r}]")
    return choices


def matching(metadata: Sequence[Mapping[str, Any]], choices: Mapping[str, Sequence[Any]]) -> np.ndarray:
    """Return which entries have, under each name, one of the values that are asked for: (N,) bool.

    Args:
        metadata: of every entry.
        choices: see :func:`to_choices`.

    Raises:
        InputError: no entry has a name that is asked for.
    """
    allowed = np.ones(len(metadata), dtype=bool)
    for name, values in choices.items():
        lists = [value for value in values if isinstance(value, list | dict)]  # these have no hash
        others = {value for value in values if not isinstance(value, list | dict)}
        has_name = False
        for place, details in enumerate(metadata):
            if name in details:
                has_name = True
                value = details[name]
                allowed[place] &= value in (lists if isinstance(value, list | dict) else others)
            else:
                allowed[place] = False
        if not has_name and metadata:
            known = list(dict.fromkeys(each for details in metadata for each in details))
            raise InputError(
                f"No entry has metadata called {name!r}.{suggest(str(name), known)} "
                f"There are: {', '.join(known) or 'none'}."
            )
    return allowed
