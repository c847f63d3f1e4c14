"""The correctness tests of the GPU run: one file of ``tests/gpu`` by pytest, counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .files import ROOT
from .setting import Setting, StageFailed

SETTINGS = Path(__file__).with_name("pytest.ini")
MESSAGE = 600  # characters of a failure in the result file


def run(setting: Setting, path: str) -> dict[str, Any]:
    """Run the tests in ``path`` on the device of the setting; return how many passed, and what was skipped.

    Raises:
        StageFailed: a test failed, or none ran.
    """
    os.environ |= environment(setting)
    report = setting.output.parent / "report.xml"
    options = ["-c", str(SETTINGS), "--rootdir", str(ROOT), "-m", "gpu", "--durations=5", f"--junitxml={report}"]
    code = pytest.main([path, *options])
    figures = counted(report)
    if code:
        raise StageFailed(figures)
    return figures


def environment(setting: Setting) -> dict[str, str]:
    """Return the variables that the tests read."""
    return {
        "DISTILBERT_GPU_DEVICE": setting.device,
        "DISTILBERT_GPU_TINY": "1" if setting.tiny else "",
        "DISTILBERT_GPU_FILES": str(setting.files),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # sums of matrix products in one order, for the tests that compare bits
    }


def counted(report: Path) -> dict[str, Any]:
    """Read a report in JUnit's form: the number of tests that passed, and the others by name."""
    figures: dict[str, Any] = {"tests_passed": 0, "tests_failed": {}, "tests_skipped": {}}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('name')}"
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        if failure is not None:
            figures["tests_failed"][name] = (failure.get("message") or "")[:MESSAGE]
        elif skipped is not None:
            figures["tests_skipped"][name] = (skipped.get("message") or "")[:MESSAGE]
        else:
            figures["tests_passed"] += 1
    return figures
