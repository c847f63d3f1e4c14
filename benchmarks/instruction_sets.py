"""Restrict all libraries of a comparison to one set of instructions, each by its own switch.

A library without a switch takes part only on a CPU that has nothing beyond the set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

SWITCHES = {  # set of instructions -> what the libraries read when they are loaded
    "avx2": {
        "DISTILBERT_KERNELS": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own operators
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # its products
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "CT2_FORCE_CPU_ISA": "AVX2",
    }
}
BEYOND = {"avx2": "avx512f"}  # what /proc/cpuinfo names on a CPU that has more
WITHOUT_SWITCH = ("onnxruntime", "openvino", "llama_cpp")


def restrict(instructions: str) -> None:
    """Set the switches; nothing that obeys them may have been loaded.

    Raises:
        RuntimeError: PyTorch is loaded already.
    """
    if "torch" in sys.modules:
        raise RuntimeError("PyTorch is loaded already and would not obey.")
    os.environ.update(SWITCHES[instructions])


def reason_to_leave_out(instructions: str, modules: tuple[str, ...], cpuinfo: str | None = None) -> str | None:
    """Say why a contestant that needs ``modules`` cannot take part; None if it can."""
    flags = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    without = [name for name in WITHOUT_SWITCH if name in modules]
    if without and BEYOND[instructions] in flags:
        return f"{without[0]} has no switch that keeps it to {instructions}, and this CPU has more"
    return None


def obeyed(instructions: str) -> dict[str, bool]:
    """Ask the libraries that can be asked whether they obey."""

    def engine() -> bool:
        from distilbert.engine.kernel_library import load_operations

        return load_operations().name == instructions

    def torch() -> bool:
        import torch

        return bool(torch.backends.cpu.get_cpu_capability() == instructions.upper())

    questions: dict[str, Callable[[], bool]] = {"engine": engine, "torch": torch}
    return {name: ask() for name, ask in questions.items()}
