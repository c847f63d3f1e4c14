"""The kernels for AMX, with plain C++ in place of its instructions, so that any x86 CPU with AVX2 runs them."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
from pathlib import Path

from distilbert.engine.kernel_library import FOLDER, available_kernels

NAME = "emulated"
ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "src/distilbert/engine/kernels"
FLAGS = [
    "-O3",
    "-std=c++20",
    "-fPIC",
    "-shared",
    "-pthread",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-Wno-psabi",
    "-march=x86-64-v3",
]


@functools.cache
def emulated_library() -> Path | None:
    """Return the library, compiled where it is not there yet; None where it cannot be compiled or run."""
    compiler = shutil.which("c++")
    if (FOLDER / f"{NAME}.so").is_file():  # `make sanitize` compiled one with sanitizers
        return FOLDER / f"{NAME}.so"
    if compiler is None or "avx2" not in available_kernels():
        return None
    source = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(KERNELS.iterdir())))
    path = ROOT / "build/kernels" / source.hexdigest()[:16] / f"{NAME}.so"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [compiler, *FLAGS, "-DEMULATED_TILES", str(KERNELS / "kernels.cpp"), "-o", str(path)]
        subprocess.run(command, check=True)
    return path
