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


# For wheels that others install, zig brings a compiler for both machines and symbols of an old glibc.
ZIG_TARGETS = {"x86_64": "x86_64-linux-gnu.2.28", "aarch64": "aarch64-linux-gnu.2.28"}
ZIG_CPUS = {  # what -march is called there
    "avx2": "x86_64_v3",
    "avxvnni": "x86_64_v3+avxvnni",
    "avx512": "x86_64_v4",
    "avx512vnni": "x86_64_v4+avx512vnni",
    "avx512bf16": "x86_64_v4+avx512vnni+avx512bf16",
}


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries to a wheel, or to the source tree of an editable installation.

    They are those that this machine can run. For a wheel that others install, ``DISTILBERT_WHEEL`` names its machine,
    ``x86_64`` or ``aarch64``, and the libraries are those for every CPU of that kind.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries; see hatchling's BuildHookInterface."""
        machine = os.environ.get("DISTILBERT_WHEEL", "")
        if machine:
            built = self._compile_for(machine)
            platform_tag = f"manylinux_2_28_{machine}"
        else:
            built = self._compile_here()
            platform_tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        if built:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag}"
            for path in built:
                build_data["force_include"][str(path)] = f"distilbert/engine/compiled/{path.name}"

    def _compile_here(self) -> list[Path]:
        """Compile what this machine can run, into the source tree."""
        compiler = next((path for path in map(shutil.which, (os.environ.get("CXX", "c++"), "g++")) if path), None)
        if compiler is None or sys.platform == "win32":
            self.app.display_warning("No C++ compiler: the engine will run in NumPy, several times slower.")
            return []
        target = Path(self.root) / ENGINE / "compiled"
        command = [compiler, *FLAGS, "-static-libstdc++", "-static-libgcc"]
        base = self._compile(command, target / f"{BASE}.so")
        if base is None:
            return []
        names: list[str] = []
        if platform.machine().lower() in ("x86_64", "amd64"):
            runnable = ctypes.CDLL(str(base)).runnable()
            names = [name for bit, name in enumerate(X86_FLAGS) if runnable >> bit & 1]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            others = pool.map(lambda name: self._compile([*command, *X86_FLAGS[name]], target / f"{name}.so"), names)
            return [base, *(path for path in others if path is not None)]

    def _compile_for(self, machine: str) -> list[Path]:
        """Compile the libraries for every CPU of a kind of machine."""
        if machine not in ZIG_TARGETS:
            raise ValueError(f"DISTILBERT_WHEEL must be one of {', '.join(ZIG_TARGETS)}, got {machine!r}.")
        target = Path(self.root) / "build" / "wheel" / machine
        command = [sys.executable, "-m", "ziglang", "c++", "-target", ZIG_TARGETS[machine], *FLAGS]
        cpus = {BASE: "baseline"} | (ZIG_CPUS if machine == "x86_64" else {})
        built = []
        for name, cpu in cpus.items():
            width = ["-mprefer-vector-width=512"] if name.startswith("avx512") else []
            path = self._compile([*command, f"-mcpu={cpu}", *width], target / f"{name}.so")
            if path is None:
                raise RuntimeError(f"The kernels {name} for {machine} do not compile.")
            built.append(path)
        return built

    def _compile(self, command: list[str], path: Path) -> Path | None:
        """Compile one library; return its path, or None if it does not compile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        source = Path(self.root) / ENGINE / "kernels" / "kernels.cpp"
        result = subprocess.run(
            [*command, str(source), "-o", str(temporary)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            self.app.display_warning(f"{path.stem}: not compiled; {result.stderr.strip()[:300]}")
            return None
        temporary.replace(path)
        return path
