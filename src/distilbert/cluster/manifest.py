"""The manifest of a sharded run: which rows of which file are which shard, fixed before the first answer.

A shard ends where a window of ``distilbert run`` ends. So its rows are answered in the same windows as in a run over
the whole file, and the answers are the same to the last digit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..core.content_hash import hash_start
from ..core.errors import DataError, UsageError
from ..core.files import replacing, sync_to_disk
from ..data.addresses import is_address, path_of
from ..data.file_formats import endings_of, format_of
from ..data.row_stream import Row, RowStart, RowStream, open_rows
from ..data.row_windows import UnusableRows, usable_rows, window_size
from ..data.task_inputs import TaskInputs
from ..data.text_lines import LineStart
from .answer_settings import AnswerSettings

FORMATS = ("json", "jsonl", "csv", "tsv", "txt", "parquet")
VERSION = 1  # raise it when the manifest or the meaning of a shard changes

OnPlanned = Callable[[str, int, int], None]  # a file, its rows and shards


@dataclass(frozen=True)
class InputFile:
    """A file that is read.

    Attributes:
        name: its path or address.
        size: in bytes.
        content: hash of its bytes; of a file at an address, what its store says about this version of it.
    """

    name: str
    size: int
    content: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Look at a file."""
        path = path_of(name)
        size = int(path.stat().st_size)
        return cls(name, size, _content_of(name, size))

    def has_changed(self) -> bool:
        """Whether the file has other bytes now; a local file may have got more behind them."""
        path = path_of(self.name)
        return not path.exists() or _content_of(self.name, self.size) != self.content


@dataclass(frozen=True)
class Shard:
    """Some rows of a file.

    Attributes:
        number: of the shard, counted from 0 over all files.
        file: number of the file.
        start: rows of the file above it, blank ones included.
        rows: how many rows it has, blank ones included; 0 for an empty file.
        first: rows of the file above it that are in windows: those that get an answer or null.
        line: number of its first line and the bytes before it, if reading can begin there.
    """

    number: int
    file: int
    start: int
    rows: int
    first: int
    line: tuple[int, int] | None = None

    @property
    def row_start(self) -> RowStart:
        """Where to begin to read."""
        return RowStart(self.start, None if self.line is None else LineStart(*self.line))


@dataclass(frozen=True)
class Manifest:
    """All shards of a run, and what their answers depend on.

    Attributes:
        settings: how rows are read, answered and written.
        shard_rows: how many rows a shard has at least, but the last one of a file.
        files: what is read.
        shards: in the order of the rows.
    """

    settings: AnswerSettings
    shard_rows: int
    files: tuple[InputFile, ...]
    shards: tuple[Shard, ...]

    @classmethod
    def plan(
        cls, settings: AnswerSettings, names: Sequence[str], shard_rows: int, on_planned: OnPlanned | None = None
    ) -> Self:
        """Read all files once and cut them into shards.

        Args:
            settings: how rows are read.
            names: of the files.
            shard_rows: the least rows of a shard.
            on_planned: called after each file.

        Raises:
            UsageError: the columns of a file do not fit the task, or its format is not known.
            DataError: a file cannot be read; or a row has no answer, and such a row is to stop the work.
        """
        files: list[InputFile] = []
        shards: list[Shard] = []
        for number, name in enumerate(names):
            files.append(InputFile.of(name))
            first = len(shards)
            shards += _cut(settings, name, number, first, shard_rows)
            if on_planned is not None:
                on_planned(name, sum(shard.rows for shard in shards[first:]), len(shards) - first)
        return cls(settings, shard_rows, tuple(files), tuple(shards))

    @property
    def identity(self) -> dict[str, Any]:
        """What a run that goes on with this one must have in common with it."""
        return {"version": VERSION, "shard_rows": self.shard_rows, **self.settings.as_dict()}

    def save(self, path: Path) -> None:
        """Write the manifest; it appears under its name all at once."""
        content = {
            "version": VERSION,
            "shard_rows": self.shard_rows,
            "settings": self.settings.as_dict(),
            "files": [asdict(file) for file in self.files],
            "shards": [asdict(shard) for shard in self.shards],
        }
        text = json.dumps(content | {"checksum": _checksum(content)}, indent=1, ensure_ascii=False) + "\n"
        if not is_address(str(path)):
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
                sync_to_disk(temporary)
            sync_to_disk(path.parent)
        else:
            path.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a manifest.

        Raises:
            UsageError: it was changed or damaged after it was written, or another version wrote it.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("checksum") != _checksum(content) or content["version"] != VERSION:
                raise ValueError
            shards = [dict(shard, line=shard["line"] and tuple(shard["line"])) for shard in content["shards"]]
            return cls(
                AnswerSettings.from_dict(content["settings"]),
                content["shard_rows"],
                tuple(InputFile(**file) for file in content["files"]),
                tuple(Shard(**shard) for shard in shards),
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise UsageError(
                f"{path} is damaged, was changed, or is of another version, so it is unknown what its folder holds; "
                "start again with --overwrite."
            ) from None

    def differences(self, settings: AnswerSettings, shard_rows: int, names: Sequence[str]) -> list[str]:
        """Return in words how another run differs from this one; nothing if it would give the same answers."""
        now = json.loads(json.dumps(Manifest(settings, shard_rows, (), ()).identity))
        before = json.loads(json.dumps(self.identity))
        changes = list(_changes(before, now))
        known = {file.name: file for file in self.files}
        changes += [f"{name} is new" for name in names if name not in known]
        changes += [f"{name} is no longer read" for name in known if name not in names]
        if not changes and [file.name for file in self.files] != list(names):
            changes.append("the files come in another order")
        for name in names:
            if name in known and InputFile.of(name) != known[name]:
                changes.append(f"{name} has another content")
        return changes


def _content_of(name: str, size: int) -> str:
    """Return a hash of the first bytes of a file; at an address, what its store says about this version of it."""
    path = path_of(name)
    if is_address(name):
        store: Any = path
        return str(store.fs.ukey(store.path))
    return hash_start(path, size)[:32]


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{name} ")
        elif old != new:
            yield f"{above}{name} was {old!r} and is {new!r}"


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


@contextmanager
def open_input(
    settings: AnswerSettings, name: str, start: RowStart | None = None, *, with_starts: bool = False
) -> Iterator[tuple[RowStream, TaskInputs]]:
    """Open a file, and match its columns to the arguments of the task where they are known before the rows.

    Args:
        settings: how rows are read.
        name: of the file.
        start: the row to begin with; None for the first.
        with_starts: remember where lines begin.

    Raises:
        UsageError: its format is not known, or its columns do not fit.
        DataError: it cannot be read.
    """
    told, compressed = format_of(name, FORMATS)
    format = settings.format or told
    if not format:
        raise UsageError(
            f"The name {name!r} does not tell its format: end it in {endings_of(FORMATS)} (text ones also .gz, .zst), "
            f"or state --format {'|'.join(FORMATS)}."
        )
    inputs = settings.make_inputs()
    with open_rows(
        path_of(name), format, compressed, settings.reading_rules, name, start, with_starts=with_starts
    ) as stream:
        if stream.columns is not None:
            pairs = inputs.match(stream.columns, stream.unnamed, stream.repeated, name)
            stream.columns_to_read = None if settings.keep_input else list(dict.fromkeys(column for _, column in pairs))
        elif start is not None and start.rows and format in ("json", "jsonl"):
            with open_rows(path_of(name), format, compressed, settings.reading_rules, name) as whole:
                inputs.settle(whole.rows)
        yield stream, inputs


def _cut(settings: AnswerSettings, name: str, file: int, number: int, shard_rows: int) -> Iterator[Shard]:
    """Yield the shards of a file. An empty one has a shard without rows, so that every file has an output."""
    with open_input(settings, name, with_starts=True) as (stream, inputs):
        unusable = UnusableRows(settings.on_error, lambda message: None)
        last: list[Row] = []
        stream.rows = _remembering(stream.rows, last)
        begin = Shard(number, file, 0, 0, 0)
        rows = in_windows = window_end = index = 0
        is_full = False  # the shard; the next row begins another one
        for row in usable_rows(stream, inputs, unusable):
            if isinstance(row, DataError):
                raise row
            if is_full:
                yield Shard(begin.number, file, begin.start, rows - begin.start, begin.first, begin.line)
                line = _line_of(stream, last[0])
                begin = Shard(begin.number + 1, file, rows, 0, in_windows, line)
                is_full = False
            rows += 1
            in_windows += row is not None
            if row is not None and in_windows == window_end + window_size(index, settings.largest_window):
                window_end, index = in_windows, index + 1
                is_full = rows - begin.start >= shard_rows
        yield Shard(begin.number, file, begin.start, rows - begin.start, begin.first, begin.line)


def _remembering(rows: Iterator[Row], last: list[Row]) -> Iterator[Row]:
    """Yield rows; the newest one is always in ``last``."""
    for row in rows:
        last[:] = [row]
        yield row


def _line_of(stream: RowStream, row: Row) -> tuple[int, int] | None:
    if stream.starts is None:
        return None
    start = stream.starts.start_of(int(row.place.rpartition(":")[2]))
    return None if start is None else (start.number, start.offset)
