"""Source trees: a folder with a ``pyproject.toml`` that pip installs, to be kept in a repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...core.errors import InputError
from ...core.files import replacing_folder, write_text
from ...core.installed import FOLDER
from .distribution import Distribution, init_py, pyproject

LEFTOVERS = ("build", "__pycache__")  # what building and importing a tree leave in it


def write_tree(path: Path, made: Distribution, model: Path) -> None:
    """Write the source tree of a package; one that stands at ``path`` is replaced as a whole.

    Raises:
        InputError: what stands at ``path`` holds files that the new tree does not have.
    """
    with replacing_folder(path) as new:
        module = new / "src" / made.module
        shutil.copytree(model, module / FOLDER)
        write_text(module / "__init__.py", init_py(made))
        write_text(new / "README.md", made.readme)
        write_text(new / "pyproject.toml", pyproject(made))
        for name in made.licenses:
            shutil.copyfile(model / name, new / name)
        if path.exists():
            _check_replaceable(path, new)


def _check_replaceable(path: Path, new: Path) -> None:
    """Refuse to replace what is no tree of this package: its files would be lost."""
    if not path.is_dir():
        raise InputError(f"{path} is a file; a source tree is a folder.")
    foreign = sorted(_files(path) - _files(new))
    if foreign:
        raise InputError(
            f"{path} holds files that the new tree has not, and that would be lost: {', '.join(foreign[:5])}"
            f"{', ...' if len(foreign) > 5 else ''}. Move them away first."
        )


def _files(folder: Path) -> set[str]:
    """Return the paths of files in a tree, but for what building it leaves."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir())
    return {
        file.as_posix()
        for file in found
        if not any(part in LEFTOVERS or part.endswith(".egg-info") for part in file.parts[:-1])
    }
