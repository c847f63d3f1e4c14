"""Compiles the engine's kernels when the package is built or installed on a machine with a C++ compiler.

There is a library for each instruction set, and the engine loads the best one that the CPU can run. An installation
compiles this one, and quickly the one for every CPU, which says what the CPU can run. With ``DISTILBERT_ALL_KERNELS=1``
it compiles all that the machine can run, for tests. Without a compiler, or if a library does not compile, the engine
runs the plain twins of the kernels in NumPy.

``python hatch_build.py`` compiles them ahead of an installation, at the same time as pip downloads what it needs. What
was compiled from the same source by the same command is not compiled again.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # this file runs as a script
    BuildHookInterface = dict  # type: ignore[assignment,misc]

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
QUICKLY = ["-O0"]  # for a library that is asked what the CPU can run, and does not compute
ALL_KERNELS = "DISTILBERT_ALL_KERNELS"
# Name of a library -> its flags, for each machine; the order is that of runnable() in kernels.cpp, the fastest last.
X86_FLAGS = {
    "avx2": ["-march=x86-64-v3"],
    "avxvnni": ["-march=x86-64-v3", "-mavxvnni"],
    "avx512": AVX512,
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "avx512bf16": [*AVX512, "-mavx512bf16", "-mavx512vnni"],
    "amx": [*AVX512, "-mavx512bf16", "-mavx512vnni", "-mamx-tile", "-mamx-int8", "-mamx-bf16"],
}
ARM_FLAGS = {"dotprod": ["-march=armv8.2-a+dotprod"], "i8mmbf16": ["-march=armv8.2-a+dotprod+i8mm+bf16"]}
SPECIAL_FLAGS = {"x86_64": X86_FLAGS, "amd64": X86_FLAGS, "aarch64": ARM_FLAGS, "arm64": ARM_FLAGS}


# For wheels that others install, zig brings a compiler for both machines and symbols of an old glibc.
ZIG_TARGETS = {"x86_64": "x86_64-linux-gnu.2.28", "aarch64": "aarch64-linux-gnu.2.28"}
ZIG_CPUS = {  # what -march is called there
    "x86_64": {
        "avx2": "x86_64_v3",
        "avxvnni": "x86_64_v3+avxvnni",
        "avx512": "x86_64_v4",
        "avx512vnni": "x86_64_v4+avx512vnni",
        "avx512bf16": "x86_64_v4+avx512vnni+avx512bf16",
        "amx": "x86_64_v4+avx512vnni+avx512bf16+amx_tile+amx_int8+amx_bf16",
    },
    "aarch64": {"dotprod": "generic+dotprod", "i8mmbf16": "generic+dotprod+i8mm+bf16"},
}


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries to a wheel, or to the source tree of an editable installation.

    They are for this machine. For a wheel that others install, ``DISTILBERT_WHEEL`` names its machine,
    ``x86_64`` or ``aarch64``, and the libraries are those for every CPU of that kind.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the libraries; see hatchling's BuildHookInterface."""
        machine = os.environ.get("DISTILBERT_WHEEL", "")
        if machine:
            built = self._compile_for(machine)
            platform_tag = f"manylinux_2_28_{machine}"
        else:
            built = compile_here(Path(self.root), self.app.display_warning)
            platform_tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        if built:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform_tag}"
            for path in built:
                build_data["force_include"][str(path)] = f"distilbert/engine/compiled/{path.name}"

    def _compile_for(self, machine: str) -> list[Path]:
        """Compile the libraries for every CPU of a kind of machine."""
        if machine not in ZIG_TARGETS:
            raise ValueError(f"DISTILBERT_WHEEL must be one of {', '.join(ZIG_TARGETS)}, got {machine!r}.")
        target = Path(self.root) / "build" / "wheel" / machine
        command = [sys.executable, "-m", "ziglang", "c++", "-target", ZIG_TARGETS[machine], *FLAGS]
        cpus = {BASE: "baseline"} | ZIG_CPUS[machine]
        built = []
        for name, cpu in cpus.items():
            width = ["-mprefer-vector-width=512"] if "_v4" in cpu else []
            path = _compile(
                [*command, f"-mcpu={cpu}", *width], Path(self.root), target / f"{name}.so", self.app.display_warning
            )
            if path is None:
                raise RuntimeError(f"The kernels {name} for {machine} do not compile.")
            built.append(path)
        return built


def compile_here(root: Path, warn: Callable[[str], None]) -> list[Path]:
    """Compile the library that this machine runs fastest, or all that it can run, into the source tree."""

    def compile_as(name: str, flags: list[str]) -> Path | None:
        return _compile([*command, *flags], root, target / f"{name}.so", warn)

    compiler = next((path for path in map(shutil.which, (os.environ.get("CXX", "c++"), "g++")) if path), None)
    if compiler is None or sys.platform == "win32":
        warn("No C++ compiler: the engine will run in NumPy, several times slower.")
        return []
    target = root / ENGINE / "compiled"
    target.mkdir(parents=True, exist_ok=True)
    command = [compiler, *FLAGS, *_linking(compiler)]
    import fcntl  # Windows lacks it

    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may compile the same at this moment
        return _compile_fastest(compile_as)


def _linking(compiler: str) -> list[str]:
    """Return what links the library of C++ statically, if that is there; some systems ship it in another package."""
    static = ["-static-libstdc++", "-static-libgcc"]
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-shared", *static, "-x", "c++", os.devnull, "-o", str(Path(folder) / "empty.so")]
        return [] if subprocess.run(command, capture_output=True, check=False).returncode else static


def _compile_fastest(compile_as: Callable[[str, list[str]], Path | None]) -> list[Path]:
    """Compile what :func:`compile_here` returns."""
    base = compile_as(BASE, QUICKLY)
    if base is None:
        return []
    special = SPECIAL_FLAGS.get(platform.machine().lower(), {})
    runnable = ctypes.CDLL(str(base)).runnable()
    names = [name for bit, name in enumerate(special) if runnable >> bit & 1]
    full = {**{name: special[name] for name in reversed(names)}, BASE: []}  # the fastest first
    if os.environ.get(ALL_KERNELS) == "1":
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            built = pool.map(compile_as, full, full.values())
            return list(dict.fromkeys([base, *(path for path in built if path is not None)]))
    # A compiler that is older than the CPU does not know the latest instructions.
    compiled = (compile_as(name, flags) for name, flags in full.items())
    fastest = next((path for path in compiled if path is not None), base)
    return list(dict.fromkeys([base, fastest]))


def _compile(command: list[str], root: Path, path: Path, warn: Callable[[str], None]) -> Path | None:
    """Compile one library; return its path, or None if it does not compile."""
    source = root / ENGINE / "kernels" / "kernels.cpp"
    state = hashlib.sha256("\0".join(command).encode())
    for file in sorted(source.parent.iterdir()):
        state.update(file.read_bytes())
    note = path.with_suffix(".source")  # what the library was compiled from
    if path.is_file() and note.is_file() and note.read_text() == state.hexdigest():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.new")
    result = subprocess.run([*command, str(source), "-o", str(temporary)], capture_output=True, text=True, check=False)
    if result.returncode:
        warn(f"{path.stem}: not compiled; {result.stderr.strip()[:300]}")
        return None
    note.unlink(missing_ok=True)
    temporary.replace(path)
    note.write_text(state.hexdigest())
    return path


if __name__ == "__main__":
    compile_here(Path(__file__).parent, print)
