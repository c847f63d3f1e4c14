"""The name of the CPU, for reports and for what was measured on it."""

from __future__ import annotations

import platform
from pathlib import Path


def cpu_name() -> str:
    """Return what the system calls the CPU; its architecture where it has no name."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    return name
