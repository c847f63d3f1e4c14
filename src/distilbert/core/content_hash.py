"""By what files are known again, such as those of a model: a hash of what they contain, or when they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from .companions import sentence_files, tokenizer_files
from .hub import LOCAL_FOLDERS, MODEL_FILES, WEIGHT_FILES, resolve, weight_patterns

BLOCK_BYTES = 1 << 20  # read at once

FileState = tuple[int, int, int]


def file_state(path: Path) -> FileState | None:
    """Return inode, bytes and time of the last change of a file, which differ when it was replaced; None without it."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def hash_files(paths: Iterable[Path]) -> str:
    """Return one hash of the names and the bytes of some files."""
    content = hashlib.sha256()
    for path in paths:
        content.update(path.name.encode("utf-8", "surrogateescape") + b"\0")
        with path.open("rb") as file:
            content.update(hashlib.file_digest(file, "sha256").digest())
    return content.hexdigest()[:16]


def hash_start(path: Path, size: int) -> str:
    """Return a hash of the first ``size`` bytes of a file, or of all where it has fewer."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (block := file.read(min(size, BLOCK_BYTES))):
            content.update(block)
            size -= len(block)
    return content.hexdigest()


def model_files(name: str, is_exported: bool = False) -> list[Path]:
    """Return the files that loading a model reads, of a model that is on this machine.

    These are its configuration, its weights in the format that is read first, its quantization, its tokenizer and its
    modules of sentence-transformers.

    Args:
        name: a file, a folder, or the name of an installed model or of one on the hub.
        is_exported: an export in the folder is read in place of the weights. Then all files of the folder are returned,
            as they are where a folder has no weights.

    Raises:
        ModelNotFoundError: there is none.
    """
    folder = Path(name)
    if folder.is_file():
        return [folder]
    folder = resolve(name, kind="config", local_files_only=True)
    patterns = map(weight_patterns, WEIGHT_FILES)
    weights = next(filter(None, ([path for each in pair for path in folder.glob(each)] for pair in patterns)), [])
    if is_exported or not weights:
        return sorted(path for path in folder.rglob("*") if path.is_file() and _is_content(path.relative_to(folder)))
    own = [folder / file for file in MODEL_FILES if (folder / file).is_file()]
    return sorted({*own, *weights, *tokenizer_files(folder).values(), *sentence_files(folder).values()})


def _is_content(path: Path) -> bool:
    return not any(part.startswith(".") or part in LOCAL_FOLDERS for part in path.parts)
