"""A corpus: the documents of files, folders and data sets, one at a time, whatever format they are in.

A document is the list of its paragraphs, none of them blank. ``readers.py`` reads each format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DataError
from .readers import read_jsonl, read_named, read_parquet, read_saved, read_text

Sources = Sequence[str | os.PathLike[str]]

ENDINGS = {
    ".txt": "text", ".text": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?")  # of a data set: NAME, OWNER/NAME, and either with :CONFIG
_SAVED = ("dataset_dict.json", "state.json")  # what datasets.save_to_disk leaves beside the rows


@dataclass(frozen=True)
class _Part:
    """One file, saved data set or name, with the reader of its documents and the files that it consists of."""

    name: str
    read: Callable[[str], Iterator[list[str]]]
    files: tuple[Path, ...] = ()


def documents(sources: Sources, column: str = "text") -> Iterator[list[str]]:
    """Return an iterator over the documents of all sources, in order, each as its paragraphs that are not blank.

    Every source is looked up before the first document is read. Memory stays constant: files are read as needed, and
    a document of a text file longer than ``readers.DOCUMENT`` characters comes in parts.

    Args:
        sources: any of

            - a text file (``.txt`` or no ending): a paragraph a line, a blank line between documents
            - a ``.jsonl`` or ``.ndjson`` file: an object a line, each a document; its lines are the paragraphs
            - either of these compressed (``.gz``)
            - a ``.parquet`` file, each row a document
            - a folder: all files below it with such an ending, sorted by their paths; hidden ones are passed over
            - a folder written by ``datasets.save_to_disk``
            - the name of a data set on the hub, ``NAME`` or ``NAME:CONFIG``; its split ``train`` is streamed
        column: the column of the text, where there are columns.

    Raises:
        DataError: a source does not exist or cannot be read; while iterating, a line or row cannot be used.
        MissingExtraError: pyarrow or datasets is needed and not installed.
    """
    parts = [part for source in _listed(sources) for part in _resolve(source)]
    return (paragraphs for part in parts for paragraphs in part.read(column) if paragraphs)


def describe(sources: Sources) -> list[tuple[str, int, int]]:
    """Return what tells whether sources have changed: path, bytes and time of change (ns) of each file, in order.

    Paths are resolved. A data set on the hub gives its name, 0 and 0.

    Raises:
        DataError: a source does not exist or cannot be read.
    """
    found = []
    for part in (part for source in _listed(sources) for part in _resolve(source)):
        if not part.files:
            found.append((part.name, 0, 0))
        for file in part.files:
            status = file.stat()
            found.append((file.resolve().as_posix(), status.st_size, status.st_mtime_ns))
    return found


def name_sources(sources: Sources) -> str:
    """Return the sources as a message calls them: the first three, and how many more there are."""
    names = [repr(os.fspath(source)) for source in _listed(sources)]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _listed(sources: Sources) -> list[str | os.PathLike[str]]:
    listed: list[str | os.PathLike[str]] = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    if not listed:
        raise DataError("A corpus needs at least one source: a file, a folder, or the name of a data set.")
    return listed


def _resolve(source: str | os.PathLike[str]) -> list[_Part]:
    path, name = Path(source), os.fspath(source)
    if path.is_file():
        kind, packed = _format(path)
        if not kind:
            raise DataError(
                f"The name {name!r} does not tell its format: text ends in .txt (or in nothing), others in "
                f"{', '.join(ending for ending in ENDINGS if ending != '.txt')}; text and .jsonl may add .gz."
            )
        return [_file(path, kind, packed)]
    if path.is_dir():
        return _folder(path)
    is_local = len(path.parts) > 1 and path.parent.is_dir()  # data/x beside a folder data is no OWNER/NAME
    if is_local or _format(path, bare="")[0] or not _NAME.fullmatch(name) or name.startswith("."):
        raise DataError(f"There is no file or folder {name!r} (looked in {Path.cwd()}).{_neighbours(path)}")
    return [_Part(name, lambda column: read_named(name, column))]


def _folder(folder: Path) -> list[_Part]:
    if any((folder / mark).is_file() for mark in _SAVED):
        files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
        return [_Part(str(folder), lambda column: read_saved(folder, column), files)]
    parts = []
    for path in sorted(folder.rglob("*")):
        is_hidden = any(piece.startswith(".") for piece in path.relative_to(folder).parts)
        kind, packed = _format(path, bare="")
        if kind and not is_hidden and path.is_file():
            parts.append(_file(path, kind, packed))
    if not parts:
        raise DataError(
            f"The folder {str(folder)!r} has no text in it: no file below it ends in {', '.join(ENDINGS)} "
            "(text and .jsonl also with .gz)."
        )
    return parts


def _file(path: Path, kind: str, packed: bool) -> _Part:
    if kind == "parquet":
        if packed:
            raise DataError(f"{path}: parquet is compressed inside already; .gz goes with text and .jsonl.")
        return _Part(str(path), lambda column: read_parquet(path, column), (path,))
    if kind == "jsonl":
        return _Part(str(path), lambda column: read_jsonl(path, column, packed), (path,))
    return _Part(str(path), lambda column: read_text(path, packed), (path,))


def _format(path: Path, bare: str = "text") -> tuple[str, bool]:
    """Return the format that a name's ending tells (``bare`` without one, else empty), and whether it adds ``.gz``."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    return ENDINGS.get(ending, "") if ending else bare, name.endswith(".gz")


def _neighbours(path: Path) -> str:
    """Say what there is in the place of a missing file."""
    if not path.parent.is_dir():
        return f" There is no folder {str(path.parent)!r} either."
    names = sorted(other.name for other in path.parent.iterdir() if _format(other, bare="")[0])
    return f" That folder has {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}." if names else ""
