"""Files that are written aside and renamed are like all others, and an error of writing names them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distilbert.core.errors import DataError
from distilbert.core.files import filling_folder, replacing, replacing_folder
from distilbert.weights.tensors import save_safetensors, write_torch_archive


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_umask_alone_says_who_may_read_them(tmp_path: Path, umask: int) -> None:
    """Also where a library puts a file of its own in the place of the temporary one, which only the owner may read."""
    before = os.umask(umask)
    try:
        save_safetensors(tmp_path / "model.safetensors", {"a": np.ones(3, np.float32)})
        with replacing(tmp_path / "text") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    for name in ("model.safetensors", "text"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


def disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilbert.core.files.shutil.disk_usage", lambda folder: SimpleNamespace(free=0))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("basic_ios::clear: iostream error"),
        OSError("14000 requested and 3072 written"),
    ],
    ids=["of the system", "of Rust", "of C++", "of NumPy"],
)
@pytest.mark.parametrize("kind", [replacing, replacing_folder, filling_folder])
def test_a_full_disk_is_one_error_that_names_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, error: Exception
) -> None:
    path = tmp_path / "new" / "model"
    disk_is_full(monkeypatch)
    with pytest.raises(OSError, match="No space left on device") as caught, kind(path):
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert list(tmp_path.iterdir()) == [], "no folder is left"


def test_other_errors_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="something else"), replacing(tmp_path / "a"):
        raise RuntimeError("something else")
    disk_is_full(monkeypatch)
    with pytest.raises(DataError, match="a bad row"), replacing(tmp_path / "a"):
        raise DataError("a bad row")


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "a") as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert caught.value.filename == str(tmp_path / "a")


def test_a_folder_that_was_there_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")

    def fill() -> None:
        with filling_folder(tmp_path):
            (tmp_path / "in").mkdir()
            (tmp_path / "in" / "new").write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fill()
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
def test_pytorch_gets_a_file_that_never_fails(tmp_path: Path) -> None:
    import torch

    state = {"a": torch.arange(7), "b": torch.ones(200_000)}
    write_torch_archive(tmp_path / "a.bin", lambda file: torch.save(state, file))
    read = torch.load(tmp_path / "a.bin", weights_only=True)
    assert all(torch.equal(state[name], read[name]) for name in state)
    with pytest.raises(OSError, match="No space left on device"):
        write_torch_archive(Path("/dev/full"), lambda file: torch.save(state, file))
