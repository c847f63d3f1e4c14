"""Files on this machine, and files at addresses such as ``s3://bucket/rows.jsonl``, which ``fsspec`` opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ..core.errors import UsageError
from ..core.extras import require
from .file_formats import COMPRESSED_PARQUET, endings_of, format_of

FORMATS = ("jsonl", "csv", "tsv", "txt", "parquet", "json")  # of files that are found in a folder
_WILDCARDS = frozenset("*?[")


def is_address(text: str) -> bool:
    """Tell whether a text is an address and not a path on this machine."""
    return "://" in text


def path_of(text: str) -> Path:
    """Return a path, or what behaves like one for an address.

    Raises:
        MissingExtraError: it is an address, and the library for these is not installed.
        UsageError: nothing is known about addresses of this kind, or their library is not installed.
    """
    if not is_address(text):
        return Path(text)
    upath: Any = require("upath", "files")
    try:
        path = upath.UPath(text)
        _ = path.fs
    except (ImportError, ValueError) as error:
        raise UsageError(f"{text} cannot be opened: {error}") from None
    return cast(Path, path)


def name_of(path: Path, text: str) -> str:
    """Return how a file is called whose folder or pattern was called ``text``."""
    return str(path) if is_address(text) else path.as_posix()


def has_wildcards(text: str) -> bool:
    """Tell whether a text is a pattern of names, such as ``dir/*.parquet``, and no file has this very name."""
    return bool(_WILDCARDS & set(text)) and (is_address(text) or not Path(text).exists())


def find_files(text: str) -> list[str]:
    """Return the names of the files that a path, a pattern or a folder means, sorted.

    Files whose names begin with a dot or an underscore are left out, as are those of other formats in a folder.

    Raises:
        UsageError: there is none.
    """
    if has_wildcards(text):
        names = [name for name in _matches(text) if not _is_hidden(name)]
    elif path_of(text).is_dir():
        names = [
            name_of(path, text)
            for path in path_of(text).iterdir()
            if path.is_file() and not _is_hidden(path.name) and format_of(path, FORMATS).format
        ]
        if not names:
            raise UsageError(f"The folder {text!r} holds no file that ends in {endings_of(FORMATS)}.")
    else:
        names = [text] if path_of(text).is_file() else []
    if not names:
        raise UsageError(f"There is no file {text!r} to read.")
    for name in names:
        if name.lower().endswith((".parquet.gz", ".pq.gz", ".parquet.zst", ".pq.zst")):
            raise UsageError(f"{name}: {COMPRESSED_PARQUET}")
    return sorted(names)


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith((".", "_"))


def _matches(pattern: str) -> Iterator[str]:
    first = min(pattern.find(wildcard) for wildcard in _WILDCARDS if wildcard in pattern)
    folder, slash, below = pattern[:first].rpartition("/")
    for path in path_of(folder + slash if slash else ".").glob(below + pattern[first:]):
        if path.is_file():
            yield name_of(path, pattern)
