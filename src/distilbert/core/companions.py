"""What belongs to a model beside its configuration and weights: tokenizer, modules of sentence-transformers, licences.

Whatever writes a model folder copies these files, or writes its own, and removes those of a model that it replaces.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import replacing, write_json
from .hub import (
    CHAT_TEMPLATES,
    SENTENCE_CONFIG,
    SENTENCE_ENCODER_CONFIG,
    SENTENCE_MODULES,
    TOKENIZER_FILES,
    encoder_folder,
    modules_folder,
)
from .json_files import read_json

CARD = "README.md"
LICENSE_FILE = re.compile(r"(LICEN[CS]E|NOTICE|COPYING)([.-][A-Za-z0-9._-]+)?", re.IGNORECASE)


def companions_of(folder: Path) -> dict[str, Path]:
    """Return the files of a model that hold neither its configuration nor its weights; its card is not among them.

    Args:
        folder: of the model; it need not exist. Until 2021 sentence-transformers gave the encoder a folder of its own,
            and either of the two is the model's.

    Returns:
        Name -> file. The name is the path in a model folder that has all files in one place.
    """
    return tokenizer_files(folder) | sentence_files(folder) | license_files(folder)


def tokenizer_files(folder: Path) -> dict[str, Path]:
    """Return the files of a model's tokenizer, as :func:`companions_of` does."""
    folder = encoder_folder(folder)
    paths = [*(folder / name for name in TOKENIZER_FILES), *sorted(folder.glob(CHAT_TEMPLATES))]
    return {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}


def sentence_files(folder: Path) -> dict[str, Path]:
    """Return the files by which sentence-transformers makes vectors, as :func:`companions_of` does."""
    folder = encoder_folder(folder)
    root = modules_folder(folder)
    if root is None:
        return {}
    settings = (root / SENTENCE_MODULES, root / SENTENCE_CONFIG, folder / SENTENCE_ENCODER_CONFIG)
    files = {path.name: path for path in settings if path.is_file()}
    for module in _modules(root)[1:]:  # after the encoder
        name = Path(str(module.get("path", ""))).name
        if name not in ("", ".."):
            files |= {f"{name}/{path.name}": path for path in sorted((root / name).glob("*")) if path.is_file()}
    return files


def license_files(folder: Path) -> dict[str, Path]:
    """Return the licences and notices of a model, as :func:`companions_of` does."""
    files = [path for place in reversed(places_of(folder)) for path in sorted(place.glob("*"))]
    return {path.name: path for path in files if LICENSE_FILE.fullmatch(path.name) and path.is_file()}


def card_file(folder: Path) -> dict[str, Path]:
    """Return a model's card, as :func:`companions_of` returns the other files; nothing if it has none."""
    cards = [place / CARD for place in places_of(folder) if (place / CARD).is_file()]
    return {path.name: path for path in cards[:1]}


def places_of(folder: Path) -> tuple[Path, ...]:
    """Return the folder of a model's encoder, and before it the one around it if that is part of the model."""
    folder = encoder_folder(folder)
    root = modules_folder(folder)
    return (folder,) if root in (None, folder) else (root, folder)


def copy_companions(files: Mapping[str, Path], target: Path) -> None:
    """Copy files, by their names, into a folder that has the encoder in it; they may be there already."""
    for name, path in files.items():
        copy = target / name
        if not (copy.exists() and copy.samefile(path)):
            with replacing(copy) as temporary:
                shutil.copyfile(path, temporary)
        modules = _modules(target) if name == SENTENCE_MODULES else []
        if modules and modules[0].get("path"):
            write_json(copy, [modules[0] | {"path": ""}, *modules[1:]])


def remove_companions(folder: Path, names: Iterable[str]) -> None:
    """Remove files of a model that was replaced, by their names, and the folders that they leave empty."""
    for path in (folder / name for name in names):
        path.unlink(missing_ok=True)
        if path.parent != folder:
            with suppress(OSError):  # it holds something else
                path.parent.rmdir()


def _modules(root: Path) -> list[dict[str, Any]]:
    """Return what ``modules.json`` lists; nothing where it is no such list, which is said when vectors are made."""
    try:
        modules = read_json(root / SENTENCE_MODULES, InputError)
    except InputError:
        return []
    return modules if isinstance(modules, list) and all(isinstance(module, dict) for module in modules) else []
