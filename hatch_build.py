"""Compiles the engine's kernels when the package is built or installed on a machine with a C++ compiler.

There is a library for each instruction set, and the engine loads the best one that the CPU can run. Without a compiler,
or if a library does not compile, the engine runs the plain twins of the kernels in NumPy.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE = Path("src/distilbert/engine")
FLAGS = [
    "-O3",
    "-std=c++20",
    "-fPIC",
    "-shared",
    "-s",
    "-pthread",
    "-static-libstdc++",
    "-static-libgcc",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-Wno-psabi",
]
AVX512 = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
BASE = "base"  # for every CPU
X86_FLAGS = {  # name of a library -> flags for its instruction set; the order is that of runnable() in kernels.cpp
    "avx2": ["-march=x86-64-v3"],
    "avxvnni": ["-march=x86-64-v3", "-mavxvnni"],
    "avx512": AVX512,
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "avx512bf16": [*AVX512, "-mavx512bf16", "-mavx512vnni"],
}


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries to a wheel, or to the source tree of an editable installation.

    They are those that this machine can run, or with ``DISTILBERT_ALL_KERNELS=1``, as for a wheel that others install,
    those for every CPU.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries; see hatchling's BuildHookInterface."""
        compiler = next((path for path in map(shutil.which, (os.environ.get("CXX", "c++"), "g++")) if path), None)
        if compiler is None or sys.platform == "win32":
            self.app.display_warning("No C++ compiler: the engine will run in NumPy, several times slower.")
            return
        target = Path(self.root) / ENGINE / "compiled"
        target.mkdir(exist_ok=True)
        base = self._compile(compiler, BASE, [], target)
        if base is None:
            return
        everything = os.environ.get("DISTILBERT_ALL_KERNELS") == "1"
        runnable = ctypes.CDLL(str(base)).runnable()
        names = [name for bit, name in enumerate(X86_FLAGS) if everything or runnable >> bit & 1]
        if platform.machine().lower() not in ("x86_64", "amd64"):
            names = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            others = pool.map(lambda name: self._compile(compiler, name, X86_FLAGS[name], target), names)
            built = [base, *(path for path in others if path is not None)]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        build_data["artifacts"] += [str(path.relative_to(self.root)) for path in built]

    def _compile(self, compiler: str, name: str, flags: list[str], target: Path) -> Path | None:
        """Compile one library; return its path, or None if it does not compile."""
        path, temporary = target / f"{name}.so", target / f".{name}.new"
        source = Path(self.root) / ENGINE / "kernels" / "kernels.cpp"
        command = [compiler, *FLAGS, *flags, str(source), "-o", str(temporary)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            self.app.display_warning(f"{name}: not compiled; {result.stderr.strip()[:300]}")
            return None
        temporary.replace(path)
        return path
