"""Which precision the engine runs in: what was requested, what this CPU can do, and what ``"auto"`` chooses."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..core.cpu_name import cpu_name
from ..core.errors import InputError
from .cache_folder import read_note, write_note
from .kernel_library import load_operations
from .operations import BF16, FP32, UINT8, Operations
from .products import ActivationRange, float_map, int8_map

PRECISIONS = ("auto", "fp32", "bf16", "int8")
DTYPES = {"fp32": FP32, "bf16": BF16}
FASTER = 1.1  # times as fast as fp32 a precision must be for "auto" to choose it
QUOTA_FILES = (  # of a container: microseconds of CPU time, and in how many microseconds
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def has_bf16() -> bool:
    """Say whether the kernels multiply in bf16 on this CPU."""
    return _kernels_multiply(BF16)


def has_int8() -> bool:
    """Say whether the kernels multiply in int8 on this CPU; they add up without overflow on every CPU."""
    return _kernels_multiply(UINT8)


def _kernels_multiply(dtype: np.dtype[Any]) -> bool:
    operations = load_operations()
    return operations.name != "numpy" and operations.multiplies(dtype, 768)


@functools.cache
def is_faster(precision: str) -> bool:
    """Say whether matrix products are faster in ``"bf16"`` or ``"int8"`` than in fp32 on this machine.

    Instructions for a type do not make it faster on every CPU, so both are timed in turn on one thread, which takes
    some hundredths of a second. The result is noted in the cache, for other processes on a CPU of this name.
    """
    operations = load_operations()
    if not {"bf16": has_bf16, "int8": has_int8}[precision]():
        return False
    key = ["faster than fp32", precision, operations.layout, cpu_name()]
    noted = read_note(key)
    if not isinstance(noted, bool):
        noted = _measure_whether_faster(precision, operations)
        write_note(key, noted)
    return noted


def _measure_whether_faster(precision: str, operations: Operations) -> bool:
    x, weight, bias = np.ones((128, 768), np.float32), np.ones((768, 768), np.float32), np.zeros(768, np.float32)
    inputs = ActivationRange(np.ones(768, np.float32), 0.0, 1.0)
    in_fp32 = float_map(weight, bias, FP32, operations)
    runs: dict[str, Callable[[], object]] = {"fp32": lambda: in_fp32(x)}
    if precision == "int8":
        in_int8, x8 = int8_map(weight, bias, inputs, FP32, operations), inputs.quantizer()(x)
        runs["int8"] = lambda: in_int8(x8)
    else:
        in_bf16, x16 = float_map(weight, bias, BF16, operations), x.astype(BF16)
        runs["bf16"] = lambda: in_bf16(x16)
    seconds = fastest_seconds(runs)
    return seconds["fp32"] > FASTER * seconds[precision]


def fastest_seconds(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Run functions in turn, six times each, and return the seconds of the fastest run of each."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(6):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def available_precisions() -> dict[str, bool]:
    """Return each precision and whether this CPU has instructions for it."""
    return {"fp32": True, "bf16": has_bf16(), "int8": has_int8()}


def pick_precision(requested: str, quantized: bool) -> str:
    """Return the precision to run in.

    Args:
        requested: one of ``PRECISIONS``. ``"auto"`` is int8 for a model with a quantization, else bf16, each where this
            CPU is faster in it, else fp32.
        quantized: whether the model comes with a quantization.

    Raises:
        InputError: there is no such precision, or int8 was requested without a quantization.
    """
    if requested not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {requested!r}.")
    if requested == "int8" and not quantized:
        raise InputError(
            "precision='int8' needs the ranges of this model's activations: run `distilbert quantize` on the folder, "
            "and load the folder that it writes."
        )
    if requested == "auto":
        if quantized and is_faster("int8"):
            return "int8"
        return "bf16" if is_faster("bf16") else "fp32"
    if not available_precisions()[requested]:
        slower = "bf16" if requested == "int8" and is_faster("bf16") else "fp32"
        warnings.warn(f"This CPU has no instructions for {requested}; the model runs in {slower}.", stacklevel=3)
        return slower
    return requested


def count_cores() -> int:
    """Return how many cores this process may use: those it may run on, and what a container grants of their time."""
    cores = usable_cores()
    return max(1, min(cores, int(_quota() or cores)))


def usable_cores() -> int:
    """Return how many cores this process may run on; 0 if that is not known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


def _quota() -> float | None:
    """Return how many cores' time a container grants; None without a limit."""
    for names in QUOTA_FILES:
        try:
            quota, period = " ".join(Path(name).read_text() for name in names).split()
            if float(quota) > 0 and float(period) > 0:
                return float(quota) / float(period)
        except (OSError, ValueError):  # no such file, or "max" for no limit
            continue
    return None


def pick_threads(requested: int | None) -> int:
    """Return the number of threads to use.

    Args:
        requested: at least 1; at most the number of cores is used, which is also the number for None.
            ``OMP_NUM_THREADS``, which other libraries obey, limits the number for None too.

    Raises:
        InputError: it is not a whole number of at least 1.
    """
    cores = count_cores()
    if requested is None:
        limit = os.environ.get("OMP_NUM_THREADS", "")
        return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores
    if isinstance(requested, bool) or not isinstance(requested, int) or requested < 1:
        raise InputError(f"threads must be a whole number of at least 1, got {requested!r}.")
    if requested > cores:
        warnings.warn(
            f"{requested} threads on {cores} cores would wait for each other; {cores} are used.", stacklevel=3
        )
    return min(requested, cores)
