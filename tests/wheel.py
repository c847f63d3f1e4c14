"""The wheel in an environment of its own: without a compiler, without PyTorch, in every Python that is there.

python -m tests.wheel FOLDER
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
NEWEST_GLIBC = (2, 28)
LIBRARIES = {
    "x86_64": {"base", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"},
    "aarch64": {"base", "dotprod", "i8mmbf16"},
}
MACHINE_CODES = {"x86_64": 62, "aarch64": 183}  # e_machine in the header of an ELF file


def check_libraries(wheel: Path, machine: str) -> None:
    """Check that a wheel has the kernels of every CPU, for its machine, and that they need no newer glibc."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        assert {Path(name).stem for name in names} == LIBRARIES[machine], names
        for name in names:
            content = archive.read(name)
            assert int.from_bytes(content[18:20], "little") == MACHINE_CODES[machine], name
            needed = {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content)}
            assert max(needed) <= NEWEST_GLIBC, (name, max(needed))
            assert b"libstdc++" not in content, name


def run_main_job(wheel: Path, python: str) -> None:
    """Install a wheel and the default model, and label texts; no compiler is on the path."""
    with tempfile.TemporaryDirectory() as temporary:
        environment = Path(temporary) / "environment"
        subprocess.run([python, "-m", "venv", str(environment)], check=True)
        program = str(environment / "bin" / "python")
        pip = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
        subprocess.run([*pip, str(wheel), "packages/distilbert-mini-sst2"], check=True, cwd=ROOT)
        answers = subprocess.run(
            [str(environment / "bin" / "distilbert"), "run", "--task", "text-classification"],
            input="What a film!\nA waste of time.\n", capture_output=True, text=True, check=True,
            env={"PATH": str(environment / "bin")}, cwd=temporary,
        ).stdout  # fmt: skip
        assert ["positive" in line for line in answers.splitlines()] == [True, False], answers
        script = (
            "import importlib.util as i; from distilbert.engine.kernel_library import load_operations as l;"
            "print(i.find_spec('torch'), l().name)"
        )
        found = subprocess.run([program, "-c", script], capture_output=True, text=True, check=True, cwd=temporary)
        without_torch, kernels = found.stdout.split()
        assert (without_torch, kernels) == ("None", best_kernels()), found.stdout
        size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())
        print(f"{python}: {kernels}, {size / 1e6:.0f} MB with pip and the default model")


def best_kernels() -> str:
    """Return which kernels this CPU should run, by what Linux says of it."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    features = set(flags[1].split()) if flags else set()
    if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= features:
        if "avx512_vnni" in features:
            return "avx512bf16" if "avx512_bf16" in features else "avx512vnni"
        return "avx512"
    if {"avx2", "fma", "bmi2"} <= features:
        return "avxvnni" if "avx_vnni" in features else "avx2"
    return "base"


def main() -> None:
    """Check the wheels of a folder, and run the one for this machine."""
    folder = Path(sys.argv[1]).resolve()
    for machine in LIBRARIES:
        (wheel,) = folder.glob(f"distilbert-*-py3-none-manylinux_2_28_{machine}.whl")
        check_libraries(wheel, machine)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
    (wheel,) = folder.glob("distilbert-*_x86_64.whl")
    for python in PYTHONS:
        if (
            shutil.which(python)
            and not subprocess.run([python, "--version"], capture_output=True, check=False).returncode
        ):
            run_main_job(wheel, python)


if __name__ == "__main__":
    main()
