"""``package``: from a model folder to a wheel, or to a source tree, that installs the model under a name.

Wheels (binary distribution format 1.0: a zip archive of files, metadata and a RECORD of their hashes) are written with
the standard library: the builders on offer either have no interface for code (``wheel``) or run a build of a source
tree, with tools that an installed distilbert cannot count on and whose version shows in the bytes.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ... import __version__
from ...core.errors import InputError
from ...core.files import check_nothing_lost, replacing, replacing_folder, write_text
from ...core.installed import FOLDER
from .contents import DTYPES, collect
from .distribution import Distribution, describe, entry_points, init_py, metadata, pyproject, readme

EARLIEST = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive can hold; equal files make equal bytes
MODE = stat.S_IFREG | 0o644
WHEEL = f"Wheel-Version: 1.0\nGenerator: distilbert {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
BUILD_FOLDERS = ("build", "__pycache__")  # which building and importing a source tree leave in it


def package(
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    version: str = "1.0.0",
    license: str | None = None,
    output: str | os.PathLike[str] = "dist",
    dtype: str = "bfloat16",
    source: bool = False,
    overwrite: bool = False,
    force: bool = False,
) -> Path:
    """Make a Python package of a model, which loads by its name once it is installed.

    The same folder gives the same bytes. No code of the folder runs, and no connection is opened.

    Args:
        folder: a model folder with a tokenizer; whatever in it is not part of the model stays behind.
        name: of the package and the model; None for that of the folder.
        version: of the package.
        license: of the model, an SPDX expression such as ``"Apache-2.0"``; None leaves it out.
        output: folder for the result, created if needed.
        dtype: of the weights: ``"bfloat16"``, half the size of ``"float32"``; ``"keep"`` leaves them as they are.
        source: write a source tree, ``OUTPUT/NAME``, to keep in a repository and install from, instead of a wheel.
        overwrite: replace the wheel or tree if there is one.
        force: take a name that belongs to an installed package which is no model.

    Returns:
        The path of the wheel or of the tree.

    Raises:
        InputError: a name, version, licence or type is not allowed, there is no folder, or the result already exists.
        ModelNotFoundError: the folder has no configuration or no weights.
        UnsupportedArchitectureError: it holds neither a DistilBERT nor a BERT with a twin.
        WeightsMismatchError: its weights are not those that its configuration asks for.
        WeightsError: a weight is not a finite number.
        TokenizerError: it has no tokenizer, or not that of the model.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    distribution = describe(Path(folder).resolve().name if name is None else name, version, license, force)
    folder_of_packages = Path(output)
    target = folder_of_packages / (distribution.name if source else distribution.wheel)
    if folder_of_packages.exists() and not folder_of_packages.is_dir():
        raise InputError(f"{folder_of_packages} is a file; packages are written into a folder.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} is there already: choose another version or folder, or overwrite it.")
    with tempfile.TemporaryDirectory(prefix="distilbert-") as temporary:
        model = collect(Path(folder), Path(temporary, "model"), dtype)
        distribution = dataclasses.replace(
            distribution,
            summary=model.summary,
            readme=readme(model.card, distribution.name),
            licenses=model.licenses,
        )
        (write_tree if source else write_wheel)(target, distribution, model.folder)
    return target


def write_tree(path: Path, distribution: Distribution, model: Path) -> None:
    """Write the source tree of a package. A tree that is at ``path`` already is replaced as a whole.

    Raises:
        InputError: the tree at ``path`` holds files that the new one does not have.
    """
    with replacing_folder(path) as new:
        module = new / "src" / distribution.module
        shutil.copytree(model, module / FOLDER)
        write_text(module / "__init__.py", init_py(distribution))
        write_text(new / "README.md", distribution.readme)
        write_text(new / "pyproject.toml", pyproject(distribution))
        for name in distribution.licenses:
            shutil.copyfile(model / name, new / name)
        check_nothing_lost(path, new, _is_made_by_building)


def _is_made_by_building(file: Path) -> bool:
    return any(name in BUILD_FOLDERS or name.endswith(".egg-info") for name in file.parts[:-1])


def write_wheel(path: Path, distribution: Distribution, model: Path) -> None:
    """Write the wheel of a package, atomically.

    Args:
        path: of the wheel.
        distribution: what the package says about itself.
        model: folder whose files all go into the wheel.
    """
    info = distribution.dist_info
    files: dict[str, Path | str] = {f"{distribution.module}/__init__.py": init_py(distribution)}
    for file in sorted(path for path in model.rglob("*") if path.is_file()):
        files[f"{distribution.module}/{FOLDER}/{file.relative_to(model).as_posix()}"] = file
    files |= {f"{info}/licenses/{name}": model / name for name in distribution.licenses}
    files |= {
        f"{info}/METADATA": metadata(distribution),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": entry_points(distribution),
    }
    with replacing(path) as temporary:
        _write_archive(temporary, files, f"{info}/RECORD")


def _write_archive(path: Path, files: Mapping[str, Path | str], record: str) -> None:
    """Write files, given as paths or as texts, and their hashes into the file called ``record``."""
    rows: list[tuple[str, str, str]] = []
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            raw = io.BytesIO(content.encode()) if isinstance(content, str) else content.open("rb")
            with raw:
                size = raw.seek(0, io.SEEK_END)
                raw.seek(0)
                digest = _add_file(archive, name, raw, size)
            rows.append((name, f"sha256={digest}", str(size)))
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([*rows, (record, "", "")])
        raw = io.BytesIO(table.getvalue().encode())
        _add_file(archive, record, raw, len(raw.getvalue()))


def _add_file(archive: ZipFile, name: str, raw: io.BytesIO | io.BufferedReader, size: int) -> str:
    """Add a file and return its SHA-256, spelt as in a RECORD."""
    entry = ZipInfo(name, EARLIEST)
    entry.create_system = 3  # Unix, wherever it was written: the bytes must not depend on the system
    entry.external_attr = MODE << 16
    entry.compress_type = ZIP_DEFLATED
    entry.file_size = size  # files of more than 2 GiB need other headers, which are written before the content
    hashed = hashlib.file_digest(raw, "sha256").digest()
    raw.seek(0)
    with archive.open(entry, "w") as file:
        shutil.copyfileobj(raw, file, 1 << 20)
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
