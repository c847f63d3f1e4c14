"""Which precision the engine runs in: what was asked for, what this CPU can do, and what ``auto`` takes."""

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
    """Say whether this CPU multiplies in bf16 (AVX512-BF16, AMX, or Arm's)."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_int8() -> bool:
    """Say whether this CPU multiplies in int8 without overflowing halfway (VNNI, AVX-VNNI or AMX)."""
    return bool(torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported())


@functools.cache
def bf16_is_faster(device_type: str = "cpu") -> bool:
    """Say whether matrix products in bf16 pay on this machine.

    CPUs with bf16 instructions are between half and eight times as fast in bf16 as in fp32, so for them the two are
    timed in turn, once a process, in some hundredths of a second.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device_type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    x, weight = torch.ones(512, 768), torch.ones(768, 768)
    best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    with torch.inference_mode():
        for _ in range(6):
            for dtype in best:
                a, b = x.to(dtype), weight.to(dtype)
                start = time.perf_counter()
                F.linear(a, b)
                best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[torch.float32] > 1.3 * best[torch.bfloat16]


def available() -> dict[str, bool]:
    """Return each precision and whether this CPU has instructions for it."""
    return {"fp32": True, "bf16": has_bf16(), "int8": has_int8()}


def pick_precision(asked: str, quantized: bool) -> str:
    """Return the precision to run in.

    Args:
        asked: one of ``PRECISIONS``. ``"auto"`` is int8 for a model with a quantization, bf16 where its products are
            measured to be faster here, else fp32.
        quantized: the model comes with a quantization.

    Raises:
        InputError: no such precision, or int8 without a quantization.
    """
    if asked not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {asked!r}.")
    if asked == "int8" and not quantized:
        raise InputError(
            "precision='int8' needs to know the ranges of this model's activations: run `distilbert quantize` on the "
            "folder, and load what it writes."
        )
    if asked == "auto":
        if quantized and has_int8():
            return "int8"
        return "bf16" if bf16_is_faster() else "fp32"
    if not available()[asked]:
        slower = "bf16" if asked == "int8" and bf16_is_faster() else "fp32"
        warnings.warn(f"This CPU has no instructions for {asked}; the model runs in {slower}.", stacklevel=3)
        return slower
    return asked


def pick_threads(asked: int | None) -> int:
    """Return how many threads to run, and let PyTorch use as many.

    Args:
        asked: at least 1; None leaves PyTorch's number.

    Raises:
        InputError: not a positive number.
    """
    if asked is None:
        return torch.get_num_threads()
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise InputError(f"threads must be a whole number of at least 1, got {asked!r}.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked > cores:
        warnings.warn(f"{asked} threads on {cores} cores would wait for each other; {cores} are used.", stacklevel=3)
    torch.set_num_threads(min(asked, cores))
    return torch.get_num_threads()
