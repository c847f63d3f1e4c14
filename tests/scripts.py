"""Scripts that tests run in a Python of their own, which finds what this one finds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def python_environment() -> dict[str, str]:
    """The environment of such a Python."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def run_until_done(folder: Path, script: str, *arguments: str) -> None:
    """Write a script into a folder and run it; nothing but ``done``, printed at its end, is success."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    command = [sys.executable, str(folder / "script.py"), *arguments]
    result = subprocess.run(command, env=python_environment(), capture_output=True, text=True, timeout=400, check=False)
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr
