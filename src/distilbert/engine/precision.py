"""Which precision the engine runs in: what was requested, what this CPU can do, and what ``"auto"`` chooses."""

from __future__ import annotations

import functools
import os
import time
import warnings

import torch
from torch.nn import functional as F

from ..core.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16", "int8")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def has_bf16() -> bool:
    """Say whether oneDNN multiplies in bf16 on this CPU; AVX2 alone is not enough."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_int8() -> bool:
    """Say whether this CPU adds up products in int8 without overflow (VNNI, AVX-VNNI or AMX)."""
    return bool(torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported())


@functools.cache
def bf16_is_faster(device_type: str = "cpu") -> bool:
    """Say whether matrix products are at least 1.3 times as fast in bf16 as in fp32 on this machine.

    CPUs with bf16 instructions are between half and eight times as fast in bf16, so both types are timed in turn,
    once in a process, which takes some hundredths of a second.

    Args:
        device_type: ``"cpu"``, or ``"cuda"``, where a GPU that supports bf16 is taken to be faster in it.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device_type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    x, weight = torch.ones(512, 768), torch.ones(768, 768)
    seconds = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))  # of the fastest run
    with torch.inference_mode():
        for _ in range(6):
            for dtype in seconds:
                a, b = x.to(dtype), weight.to(dtype)
                start = time.perf_counter()
                F.linear(a, b)
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return seconds[torch.float32] > 1.3 * seconds[torch.bfloat16]


def available_precisions() -> dict[str, bool]:
    """Return each precision and whether this CPU has instructions for it."""
    return {"fp32": True, "bf16": has_bf16(), "int8": has_int8()}


def pick_precision(requested: str, quantized: bool) -> str:
    """Return the precision to run in.

    Args:
        requested: one of ``PRECISIONS``. ``"auto"`` is int8 for a model with a quantization where the CPU has int8,
            else bf16 where :func:`bf16_is_faster`, else fp32.
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
        if quantized and has_int8():
            return "int8"
        return "bf16" if bf16_is_faster() else "fp32"
    if not available_precisions()[requested]:
        slower = "bf16" if requested == "int8" and bf16_is_faster() else "fp32"
        warnings.warn(f"This CPU has no instructions for {requested}; the model runs in {slower}.", stacklevel=3)
        return slower
    return requested


def pick_threads(requested: int | None) -> int:
    """Set how many threads PyTorch uses, and return that number.

    Args:
        requested: at least 1, and at most the number of cores is used; None leaves PyTorch's number.

    Raises:
        InputError: it is not a whole number of at least 1.
    """
    if requested is None:
        return torch.get_num_threads()
    if isinstance(requested, bool) or not isinstance(requested, int) or requested < 1:
        raise InputError(f"threads must be a whole number of at least 1, got {requested!r}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if requested > cores:
        warnings.warn(
            f"{requested} threads on {cores} cores would wait for each other; {cores} are used.", stacklevel=3
        )
    torch.set_num_threads(min(requested, cores))
    return torch.get_num_threads()
