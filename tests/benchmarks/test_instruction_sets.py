"""The switches that keep all libraries to one set of instructions."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import instruction_sets
from distilbert.engine.kernel_library import available_kernels


def test_a_library_without_a_switch_is_left_out_where_the_cpu_has_more() -> None:
    wide, narrow = "flags : avx2 avx512f", "flags : avx2 fma"
    assert "onnxruntime has no switch" in str(instruction_sets.reason_to_leave_out("avx2", ("onnxruntime",), wide))
    assert instruction_sets.reason_to_leave_out("avx2", ("onnxruntime",), narrow) is None
    assert instruction_sets.reason_to_leave_out("avx2", ("torch",), wide) is None


def test_libraries_obey() -> None:
    if "avx2" not in available_kernels():
        pytest.skip("this CPU has no AVX2, or its kernels were not compiled")
    script = (
        "import json; from benchmarks import instruction_sets as sets; sets.restrict('avx2');"
        "print(json.dumps(sets.obeyed('avx2')))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == {"engine": True, "torch": True}


def test_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", object())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="would not obey"):
        instruction_sets.restrict("avx2")
