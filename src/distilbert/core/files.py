"""Writing files atomically: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import DistilBertError, InputError

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# The disk or a quota is full, a file is too large, or the device failed.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the errors of a block that writes ``path`` name it, whatever temporary file or library they come from.

    Raises:
        OSError: the disk is full, or a temporary file cannot be written.
    """
    try:
        yield
    except Exception as error:
        if reason := _disk_error(error, path):
            raise OSError(reason, os.strerror(reason), str(path)) from error
        if isinstance(error, OSError) and error.errno and f".{path.name}." in str(error.filename):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _disk_error(error: Exception, path: Path) -> int:
    """Return which of ``DISK_ERRORS`` an error comes from; 0 if it comes from none.

    Libraries have them in their own types and words, or say only how many bytes were written. Then the disk itself
    tells whether it is full.
    """
    if isinstance(error, DistilBertError):
        return 0
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in DISK_ERRORS else 0
    if said := next((code for code in DISK_ERRORS if os.strerror(code) in str(error)), 0):
        return said
    folder = next((folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir()), None)
    is_full = folder is not None and shutil.disk_usage(folder).free == 0
    return errno.ENOSPC if is_full or "iostream error" in str(error) else 0


def check_space(path: Path, size: int) -> None:
    """Check that a file has room, where a library would end the process if it has not.

    Args:
        path: of the file.
        size: its bytes, or more.

    Raises:
        OSError: the disk has less room; the error names ``path``.
    """
    folder = next(folder for folder in path.absolute().parents if folder.is_dir())
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. It is renamed to ``path`` on success and removed on an error.

    Raises:
        OSError: the disk is full, or the file cannot be written; the error names ``path``.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with folder_for(path.parent):
        try:
            with writing(path):  # around all but the end, where what fills the disk is removed
                # Not by mkstemp, whose files only their owner may read: the system applies the umask to this one.
                file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
                mode = os.fstat(file).st_mode
                os.close(file)
                yield temporary
                if temporary.stat().st_mode != mode:  # some libraries, such as safetensors, replace such a file
                    temporary.chmod(mode)
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``, which takes the place of ``path`` on success.

    What was at ``path`` is replaced as a whole. It is still there after an error, and if the swap fails.

    Raises:
        OSError: the disk is full; the error names ``path``.
    """
    named, path = path, path.resolve()
    with (
        folder_for(path.parent),
        writing(named),
        tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", suffix=".tmp", dir=path.parent, ignore_cleanup_errors=True
        ) as temporary,
        writing(named),  # while what fills the disk is there
    ):
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
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in created:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        raise


@contextmanager
def filling_folder(path: Path) -> Iterator[None]:
    """Create a folder for the files that the block writes; after an error, those that were not there before go again.

    Raises:
        OSError: the disk is full; the error names ``path``.
    """
    with folder_for(path):
        before = set(path.rglob("*"))
        try:
            with writing(path):
                yield
        except BaseException:
            for new in sorted(set(path.rglob("*")) - before, reverse=True):  # a folder after what is in it
                with suppress(OSError):
                    new.rmdir() if new.is_dir() else new.unlink()
            raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final line break, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def refuse_pointer(path: Path, error: type[DistilBertError]) -> None:
    """Raise ``error`` if a file is what Git leaves in place of a large one that was not fetched."""
    with path.open("rb") as file:
        if is_pointer(file.read(len(LFS_POINTER))):
            raise error(pointer_message(path))


def is_pointer(data: bytes) -> bool:
    """Whether data are what Git leaves in place of a large file that was not fetched."""
    return data.startswith(LFS_POINTER)


def pointer_message(path: Path) -> str:
    """Return what to say of a file that is such a pointer."""
    return f"{path} is a Git LFS pointer and not the file itself: run git lfs pull."


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
