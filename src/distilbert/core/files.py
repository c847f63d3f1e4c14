"""Writing files atomically: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. It is renamed to ``path`` on success and removed on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    # Not by mkstemp, whose files only their owner may read: the system applies the umask to this one.
    file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    mode = os.fstat(file).st_mode
    os.close(file)
    try:
        yield temporary
        if temporary.stat().st_mode != mode:  # some libraries, such as safetensors, put such a file in its place
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``, which takes the place of ``path`` on success.

    What was at ``path`` is replaced as a whole. It is still there after an error, and if the swap fails.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, ignore_cleanup_errors=True
    ) as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Create a folder for what the block writes; after an error, those that were created and are empty go again."""
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in created:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final line break, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sync_to_disk(path: Path) -> None:
    """Make the system write a file, or the entries of a folder, to the disk now, before a renaming makes it visible."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_file(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed or the process ends; False if another process has locked it.

    Where the file system knows no locks, every call succeeds.
    """
    if os.name == "nt":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def output_folder(path: str | os.PathLike[str]) -> Path:
    """Create ``path`` as a folder if needed.

    Raises:
        InputError: there is a file at that path.
    """
    folder = check_output_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_not_replaced(output: Path, inputs: Iterable[str | os.PathLike[str]]) -> None:
    """Check that nothing that is read lies in a folder that is about to be replaced, or is that folder.

    Args:
        output: the folder.
        inputs: files and folders; names that are neither, such as those of models on the hub, pass.

    Raises:
        InputError: one lies there.
    """
    target = output.resolve()
    for path in map(Path, inputs):
        if path.exists() and path.resolve().is_relative_to(target):
            raise InputError(f"{path} is in {output}, which would be replaced with it; name another output.")


def check_nothing_lost(old: Path, new: Path, is_made: Callable[[Path], bool] = lambda file: False) -> None:
    """Check that a folder which is about to be replaced holds no files that the new one has not.

    Args:
        old: the folder; it need not exist.
        new: what takes its place.
        is_made: says of a file in ``old``, by its path there, that it can be made again.

    Raises:
        InputError: it holds some, which would be lost, or it is a file.
    """
    if old.exists() and not old.is_dir():
        raise InputError(f"{old} is a file, and a folder would take its place.")
    of_old, of_new = (
        {file.relative_to(folder) for file in folder.rglob("*") if not file.is_dir()} for folder in (old, new)
    )
    foreign = sorted(file.as_posix() for file in of_old - of_new if not is_made(file))
    if foreign:
        raise InputError(
            f"{old} holds what the new folder has not, and what would be lost: {', '.join(foreign[:5])}"
            f"{', ...' if len(foreign) > 5 else ''}. Move it away first, or name another folder."
        )


def check_output_folder(path: str | os.PathLike[str]) -> Path:
    """Return ``path``, which may become a folder later, when there is something to write.

    Raises:
        InputError: there is a file at that path.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a model is saved into a folder.")
    return folder
