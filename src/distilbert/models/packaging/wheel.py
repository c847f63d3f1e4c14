"""Wheels: a zip archive of files, metadata and a RECORD of their hashes (binary distribution format 1.0).

Written here with the standard library: the builders on offer either have no interface for code (``wheel``) or run a
build of a source tree, with tools that an installed distilbert cannot count on and whose version shows in the bytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ... import __version__
from ...core.files import replacing
from ...core.installed import FOLDER
from .distribution import Distribution, entry_points, init_py, metadata

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can say; equal files make equal bytes
MODE = stat.S_IFREG | 0o644
WHEEL = f"Wheel-Version: 1.0\nGenerator: distilbert {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(path: Path, made: Distribution, model: Path) -> None:
    """Write the wheel of a package, atomically.

    Args:
        path: of the wheel.
        made: what the package says about itself.
        model: folder of the model's files, all of which go in.
    """
    info = made.dist_info
    files: dict[str, Path | str] = {f"{made.module}/__init__.py": init_py(made)}
    files |= {f"{made.module}/{FOLDER}/{file.name}": file for file in sorted(model.iterdir())}
    files |= {f"{info}/licenses/{name}": model / name for name in made.licenses}
    files |= {
        f"{info}/METADATA": metadata(made),
        f"{info}/WHEEL": WHEEL,
        f"{info}/entry_points.txt": entry_points(made),
    }
    with replacing(path) as temporary:
        _write(temporary, files, f"{info}/RECORD")


def _write(path: Path, files: Mapping[str, Path | str], record: str) -> None:
    rows: list[tuple[str, str, str]] = []
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            raw = io.BytesIO(content.encode()) if isinstance(content, str) else content.open("rb")
            with raw:
                size = raw.seek(0, io.SEEK_END)
                raw.seek(0)
                digest = _add(archive, name, raw, size)
            rows.append((name, f"sha256={digest}", str(size)))
        listed = io.StringIO()
        csv.writer(listed, lineterminator="\n").writerows([*rows, (record, "", "")])
        raw = io.BytesIO(listed.getvalue().encode())
        _add(archive, record, raw, len(raw.getvalue()))


def _add(archive: ZipFile, name: str, raw: io.BytesIO | io.BufferedReader, size: int) -> str:
    """Add a file and return its SHA-256 as a RECORD has it."""
    entry = ZipInfo(name, EPOCH)
    entry.create_system = 3  # Unix, on every system: the archive says which
    entry.external_attr = MODE << 16
    entry.compress_type = ZIP_DEFLATED
    entry.file_size = size  # beyond 2 GiB the archive needs other headers, which have to be known in advance
    hashed = hashlib.file_digest(raw, "sha256").digest()
    raw.seek(0)
    with archive.open(entry, "w") as file:
        shutil.copyfileobj(raw, file, 1 << 20)
    return base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
