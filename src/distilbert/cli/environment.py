"""What this machine has: versions, devices, CPU features and installed extras."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from ..core.errors import MissingExtraError
from ..core.extras import require

PACKAGES = (
    "torch", "numpy", "tokenizers", "safetensors", "huggingface_hub", "ml_dtypes", "pyarrow", "typer", "rich",
    "transformers",
)  # fmt: skip
CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8", "asimd", "bf16")
DEVELOPMENT = ("dev",)


def describe() -> dict[str, Any]:
    """Describe the machine."""
    from ..engine.precision import usable_cores

    return {
        "distilbert": _version("distilbert") or "not installed as a package",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "packages": {name: _version(name) or "not installed" for name in PACKAGES},
        "devices": devices(),
        "engine": engine(),
        "cpu": {"cores": os.cpu_count() or 0, "usable cores": usable_cores(), "features": cpu_features()},
        "extras": extras(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def devices() -> dict[str, str]:
    """Return the devices that PyTorch can compute on, and with how many threads."""
    try:
        require("torch", "torch")
    except MissingExtraError as error:
        return {"cpu": str(error)}
    from ..models.pytorch.device import describe_devices

    return describe_devices()


def engine() -> dict[str, Any]:
    """Return the precisions and kernels that the engine has on this CPU."""
    from ..engine.kernel_library import load_operations
    from ..engine.precision import available_precisions, pick_precision

    return {
        "precisions": [name for name, usable in available_precisions().items() if usable],
        "auto": pick_precision("auto", quantized=False),
        "auto, quantized": pick_precision("auto", quantized=True),
        "kernels": _kernels(load_operations().name),
    }


def _kernels(name: str) -> str:
    """Return the name of the kernels; without compiled ones, how to get them."""
    if name != "numpy" or os.environ.get("DISTILBERT_KERNELS"):
        return name
    return "numpy, several times slower: no compiled kernels; install a wheel, or with a C++ compiler"


def cpu_features(listing: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return the instruction sets that matter for speed; on Linux only."""
    try:
        text = listing.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    of_cpu = set(flags[1].split()) if flags else set()
    return [feature for feature in CPU_FEATURES if feature in of_cpu]


def extras() -> dict[str, str]:
    """Return each extra of the package with ``installed``, or with the command that installs it."""
    packages_of: dict[str, list[str]] = {}
    try:
        requirements = requires("distilbert") or []
    except PackageNotFoundError:
        return {}
    for requirement in requirements:
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra and package and extra[1] not in DEVELOPMENT:
            packages_of.setdefault(extra[1], []).append(package[0])
    return {
        extra: "installed" if all(map(_version, packages)) else f"pip install 'distilbert[{extra}]'"
        for extra, packages in packages_of.items()
    }
