"""From what a caller writes to a device and a floating type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...core.config import DistilBertConfig
from ...core.errors import DeviceError, InputError
from ...core.model_checks import only_device
from ...weights.tensors import Tensors

Device = str | int | torch.device | Mapping[str, Any] | None


def pick_device(device: Device) -> torch.device:
    """Return the device that ``device`` means.

    Args:
        device: None or -1 for the CPU; ``"auto"`` for a GPU if there is one; a number for that CUDA GPU; a device or
            its name; or a map such as ``{"": device}``.

    Raises:
        DeviceError: this machine has no such device.
    """
    if isinstance(device, Mapping):
        return pick_device(only_device(device))
    if device is None or (isinstance(device, int) and device < 0):
        return torch.device("cpu")
    if device in ("auto", "balanced", "sequential"):
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"device {device!r} is none that PyTorch knows: {str(error).splitlines()[0]}") from None
    if chosen.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (chosen.index or 0) >= count:
            raise DeviceError(
                f"device {device!r} is not there: PyTorch {torch.__version__} sees {count} CUDA GPUs. "
                "Use device='cpu', or device_map='auto' to take whatever there is."
            )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device {device!r} is not there: this machine has no Apple GPU that PyTorch can use.")
    return chosen


def pick_dtype(
    dtype: torch.dtype | str | None, config: DistilBertConfig, tensors: Tensors | None = None
) -> torch.dtype:
    """Return the floating type that ``dtype`` means; None is fp32.

    Args:
        dtype: a floating type, its name (``"bfloat16"``, ``"torch.bfloat16"``), or ``"auto"``.
        config: its ``dtype`` is used for ``"auto"``.
        tensors: for ``"auto"`` without a ``dtype`` in the configuration, the type of the first floating tensor is used.

    Raises:
        InputError: it is not a floating type.
    """
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        dtype = config.dtype_name or next((t.dtype for t in (tensors or {}).values() if "float" in t.dtype), "float32")
    chosen = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise InputError(f"dtype must be a floating type such as torch.bfloat16 or 'float16', got {dtype!r}.")
    return chosen


def describe_devices() -> dict[str, str]:
    """Return the devices that PyTorch can use: name -> what it is."""
    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        devices[f"cuda:{index}"] = torch.cuda.get_device_name(index)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple"
    return devices


def use_threads(count: int) -> None:
    """Let PyTorch compute with so many threads of the CPU."""
    torch.set_num_threads(count)
