"""The bytes of a file that ``distilbert index`` makes an index of: those that were there when the work began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from ..core.content_hash import hash_start
from ..data.file_formats import format_of
from ..data.row_stream import Row, RowStream
from ..data.text_lines import check_encoding
from .run.input_rows import input_format

GROWING_FORMATS = ("csv", "jsonl", "txt")  # whose reader stands right behind the row that it has read last


class Change(Enum):
    """What happened to a file since its snapshot."""

    none = "none"
    growth = "growth"
    other = "other"


@dataclass(frozen=True)
class InputSnapshot:
    """The first bytes of a file.

    Attributes:
        path: of the file.
        size: how many bytes.
        content: a hash of them; empty where there is no file.
        may_grow: whether rows that are added to the file meanwhile can be told from those in the snapshot.
    """

    path: str
    size: int
    content: str
    may_grow: bool

    @classmethod
    def of(cls, path: str, stated_format: str, encoding: str, size: int | None = None) -> Self:
        """Return the snapshot of a file.

        Args:
            path: of the file.
            stated_format: the value of ``--format``.
            encoding: the value of ``--encoding``.
            size: how many bytes, of an earlier snapshot; None for all.
        """
        is_file = Path(path).is_file()
        may_grow = (
            is_file
            and not format_of(path).compressed
            and check_encoding(encoding) in ("", "utf-8")
            and input_format(path, stated_format) in GROWING_FORMATS
        )
        if size is None or not may_grow:
            size = Path(path).stat().st_size if is_file else 0
        return cls(path, size, _hash_of(path, size), may_grow)

    def is_passed(self, stream: RowStream) -> bool:
        """Whether the reader of a table, which looks ahead, is behind the snapshot before it has given any row."""
        return self.may_grow and stream.position() > self.size

    def rows(self, rows: Iterator[Row], position: Callable[[], int]) -> Iterator[Row]:
        """Yield those rows of the file that begin in the snapshot.

        Args:
            rows: all of them.
            position: tells how many bytes of the file were read.
        """
        if not self.may_grow:
            yield from rows
            return
        end = position()
        for row in rows:
            begin, end = end, position()
            if begin >= self.size and end > self.size:
                return
            yield row

    def change(self) -> Change:
        """Return what happened to the file since."""
        if not Path(self.path).is_file() or _hash_of(self.path, self.size) != self.content:
            return Change.other
        if Path(self.path).stat().st_size == self.size:
            return Change.none
        return Change.growth if self.may_grow else Change.other


def _hash_of(path: str, size: int) -> str:
    """Return a hash of the first bytes of a file, or of all where it has fewer; empty where there is no file."""
    return hash_start(Path(path), size) if Path(path).is_file() else ""
