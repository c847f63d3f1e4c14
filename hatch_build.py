"""Compiles the engine's kernels when the package is built or installed on a machine with a C++ compiler.

There is a library for each instruction set, and the engine loads the best one that the CPU can run. Without a compiler,
or if a library does not compile, the engine runs the plain twins of the kernels.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE = Path("src/distilbert/engine")
FLAGS = [
    "-O3",
    "-std=c++17",
    "-fopenmp",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-Wno-psabi",
]
AVX512 = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
X86_FLAGS = {  # name of a library -> flags for its instruction set
    "avx512bf16": [*AVX512, "-mavx512bf16", "-mavx512vnni"],
    "avx512": AVX512,
    "avx2": ["-march=x86-64-v3"],
}


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries to a wheel, or to the source tree of an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries; see hatchling's BuildHookInterface."""
        root = Path(self.root)
        compiler = next((path for path in map(shutil.which, (os.environ.get("CXX", "c++"), "g++")) if path), None)
        if compiler is None or sys.platform == "win32":
            self.app.display_warning("No C++ compiler: the engine will run on PyTorch's own operators.")
            return
        flags: dict[str, list[str]] = {"base": []} | (
            X86_FLAGS if platform.machine().lower() in ("x86_64", "amd64") else {}
        )
        target = root / ENGINE / "compiled"
        target.mkdir(exist_ok=True)

        def compile_library(name: str) -> Path | None:
            path, temporary = target / f"{name}.so", target / f".{name}.new"
            command = [
                compiler,
                *FLAGS,
                *flags[name],
                str(root / ENGINE / "kernels" / "kernels.cpp"),
                "-o",
                str(temporary),
            ]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                self.app.display_warning(f"{name}: not compiled; {result.stderr.strip()[:300]}")
                return None
            temporary.replace(path)
            return path

        with ThreadPoolExecutor(2) as pool:
            built = [path for path in pool.map(compile_library, flags) if path is not None]
        if built:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"] += [str(path.relative_to(root)) for path in built]
