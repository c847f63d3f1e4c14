"""Files that are written aside and renamed are like all others."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from distilbert.core.files import replacing
from distilbert.weights.tensors import save_safetensors


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
