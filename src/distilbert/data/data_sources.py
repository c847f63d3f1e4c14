"""Where training data comes from: files, folders that ``datasets`` saved, and data sets on the hub."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..core.errors import DataError, DistilBertError
from ..core.extras import require
from .file_formats import format_of
from .messages import listed

SAVED_FILES = ("dataset_dict.json", "state.json")  # datasets.save_to_disk writes one of them beside the rows
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?(:[\w.-]+)?")  # NAME or OWNER/NAME, each also with :CONFIG


def is_saved_dataset(folder: Path) -> bool:
    """Tell whether ``datasets.save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in SAVED_FILES)


def check_hub_name(name: str, formats: Collection[str]) -> None:
    """Check that a source which is neither a file nor a folder can be the name of a data set on the hub.

    Args:
        name: the source.
        formats: those that are read here. A name with the ending of one of them is a file, as is ``data/x`` where
            a folder ``data`` exists.

    Raises:
        DataError: it names a file or folder, which does not exist; the message lists similar files beside it.
    """
    path = Path(name)
    is_local = len(path.parts) > 1 and path.parent.is_dir()
    if not is_local and not format_of(path, formats).format and _HUB_NAME.fullmatch(name):
        return
    if not path.parent.is_dir():
        hint = f" There is no folder {str(path.parent)!r} either."
    else:
        names = sorted(other.name for other in path.parent.iterdir() if format_of(other, formats).format)
        hint = f" That folder has {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}." if names else ""
    raise DataError(f"There is no file or folder {name!r} (looked in {Path.cwd()}).{hint}")


def load_saved(folder: Path, split: str = "train") -> Any:
    """Load a folder that ``datasets.save_to_disk`` wrote; where it has several splits, load ``split``.

    Raises:
        DataError: it has splits, but not this one.
        MissingExtraError: datasets is not installed.
    """
    rows = require("datasets", "train").load_from_disk(str(folder))
    if not isinstance(rows, dict):
        return rows
    if split not in rows:
        raise DataError(f"{folder} has the splits {listed(rows)}, but no {split!r}. Name the folder of one of them.")
    return rows[split]


def load_from_hub(name: str, split: str, *, streaming: bool) -> Any:
    """Load a split of a data set on the hub.

    Args:
        name: ``NAME`` or ``NAME:CONFIG``, such as ``wikitext:wikitext-103-raw-v1``.
        split: such as ``train``.
        streaming: fetch rows as they are asked for instead of fetching all of them first.

    Raises:
        DataError: neither a file nor a data set has that name, or the data set has no such split.
    """
    nothing = f"There is no file or folder {name!r} (looked in {Path.cwd()})"
    try:
        datasets = require("datasets", "train")
    except DistilBertError as error:
        raise DataError(f"{nothing}. If it is the name of a data set on the hub: {error}") from None
    data_set, _, config = name.partition(":")
    try:
        return datasets.load_dataset(data_set, config or None, split=split, streaming=streaming)
    except Exception as error:  # that library raises errors of many kinds, by version and by file system
        raise DataError(f"{nothing}, and 'datasets' cannot load a data set of that name: {error}") from error
