"""How the kernels are linked on systems that lack a part of the compiler."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from hatch_build import _linking

COMPILER = shutil.which("c++")


@pytest.mark.skipif(COMPILER is None or sys.platform == "win32", reason="no C++ compiler")
def test_without_the_static_library_of_cpp_the_shared_one_is_linked(tmp_path: Path) -> None:
    assert COMPILER is not None
    assert _linking(COMPILER) == ["-static-libstdc++", "-static-libgcc"]
    lacking = tmp_path / "c++"
    lacking.write_text(f'#!/bin/sh\ncase "$*" in *-static-libstdc++*) exit 1;; esac\nexec {COMPILER} "$@"\n')
    lacking.chmod(0o755)
    assert _linking(str(lacking)) == []
