"""Run the tests of the engine's operations, and the main job, on an emulated Arm CPU.

    python -m tests.arm [ARGUMENTS OF PYTEST ...]

It needs the packages ``g++-aarch64-linux-gnu`` and ``qemu-user`` of Debian, and ``dpkg --add-architecture arm64`` with
``apt-get update`` after it, so that a Python for Arm can be downloaded. Everything goes to ``build/arm``. The emulator
has every instruction of the kernels, and says nothing about their speed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from hatch_build import ARM_FLAGS, BASE, FLAGS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/arm"
SYSTEM, SITE, KERNELS = FOLDER / "system", FOLDER / "site", FOLDER / "kernels"
DEBIAN = [
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "python3.11-minimal",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "zlib1g",
    "libexpat1",
    "libffi8",
    "libbz2-1.0",
    "liblzma5",
    "libsqlite3-0",
    "libuuid1",
]
PACKAGES = ["numpy", "ml_dtypes", "tokenizers", "safetensors", "typer", "pytest", "pytest-timeout", "hypothesis"]
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
# Products of long rows take minutes there.
TESTS = ("tests/engine/test_operations.py", "tests/engine/test_projection_cache.py", "-k", "not 3104")


def require_tools() -> None:
    """Exit with what to install, where something is missing."""
    missing = [tool for tool in ("aarch64-linux-gnu-g++", "qemu-aarch64", "apt-get", "dpkg") if not shutil.which(tool)]
    if missing:
        sys.exit(f"{', '.join(missing)} not found; see the first lines of {__file__}.")


def compile_kernels() -> None:
    """Compile every library for Arm."""
    KERNELS.mkdir(parents=True, exist_ok=True)
    source = ROOT / "src/distilbert/engine/kernels/kernels.cpp"
    for name, flags in {BASE: [], **ARM_FLAGS}.items():
        command = ["aarch64-linux-gnu-g++", *FLAGS, *flags, str(source), "-o", str(KERNELS / f"{name}.so")]
        subprocess.run(command, check=True)


def install_python() -> None:
    """Unpack a Python for Arm and the packages that answering and its tests need."""
    if (FOLDER / "installed").exists():
        return
    archives, wheels = FOLDER / "archives", FOLDER / "wheels"
    archives.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "-q", *(f"{name}:arm64" for name in DEBIAN)], cwd=archives, check=True)
    for archive in archives.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(archive), str(SYSTEM)], check=True)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    download = ["download", "--quiet", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    target = [*platforms, "--dest", str(wheels), "-c", "constraints.txt"]
    subprocess.run([sys.executable, "-m", "pip", *download, *target, *PACKAGES], cwd=ROOT, check=True)
    for wheel in wheels.glob("*.whl"):
        shutil.unpack_archive(wheel, SITE, "zip")
    (FOLDER / "installed").touch()


def run_python(*arguments: str) -> int:
    """Run the emulated Python and return its exit status."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (SITE, ROOT / "src", ROOT))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DISTILBERT_KERNELS_FOLDER": str(KERNELS),
        "DISTILBERT_CACHE": str(FOLDER / "cache"),
        "QEMU_CPU": "max",
    }
    command = ["qemu-aarch64", "-L", str(SYSTEM), str(SYSTEM / "usr/bin/python3.11"), *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


def main() -> None:
    """Prepare what is missing, run, and exit with the first status that is not 0."""
    require_tools()
    compile_kernels()
    install_python()
    status = run_python("-m", "pytest", "-p", "no:cacheprovider", *(sys.argv[1:] or TESTS))
    model, example = ROOT / "packages/distilbert-mini-sst2/src", "examples/reviews.txt"
    folder = next(model.rglob("config.json")).parent
    job = ("-m", "distilbert", "run", "--task", "text-classification", "--model", str(folder), "--input", example)
    sys.exit(status or run_python(*job))


if __name__ == "__main__":
    main()
