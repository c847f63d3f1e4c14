"""From what a caller writes to a device and a floating type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...core.config import DistilBertConfig
from ...core.errors import DeviceError, InputError
from ...core.model_checks import only_device
from ...weights.tensors import Tensors


def pick_device(device: Any) -> jax.Device:
    """Return the device that ``device`` means.

    Args:
        device: a device of JAX; None or ``"auto"`` for its default one; -1 for the CPU; a number for that GPU; the name
            of a platform, alone or with a number: ``"cpu"``, ``"cuda:1"``; or a map such as ``{"": device}``.

    Raises:
        DeviceError: this machine has no such device.
    """
    if isinstance(device, jax.Device):
        return device
    if isinstance(device, Mapping):
        return pick_device(only_device(device))
    if device is None or device in ("auto", "balanced", "sequential"):
        return jax.local_devices()[0]
    name = ("cpu" if device < 0 else f"gpu:{device}") if isinstance(device, int) else str(device)
    platform, _, number = name.partition(":")
    try:
        return jax.local_devices(backend=platform)[int(number or 0)]
    except (RuntimeError, IndexError, ValueError):
        available = ", ".join(map(str, jax.local_devices()))
        raise DeviceError(
            f"device {device!r} is not there: JAX {jax.__version__} sees {available}. "
            "Use device='cpu', or 'auto' to take whatever there is."
        ) from None


def pick_dtype(dtype: Any, config: DistilBertConfig, tensors: Tensors | None = None) -> np.dtype[Any]:
    """Return the floating type that ``dtype`` means; None is fp32.

    Args:
        dtype: a floating type of JAX, NumPy or PyTorch, its name (``"bfloat16"``), or ``"auto"``.
        config: its ``dtype`` is used for ``"auto"``.
        tensors: for ``"auto"`` without a ``dtype`` in the configuration, the type of the first floating tensor is used.

    Raises:
        InputError: it is not a floating type.
    """
    if dtype is None:
        return jnp.dtype(jnp.float32)
    if isinstance(dtype, str) and dtype == "auto":
        dtype = config.dtype_name or next((t.dtype for t in (tensors or {}).values() if "float" in t.dtype), "float32")
    named = str(dtype).removeprefix("torch.")
    try:
        chosen = jnp.dtype(named if isinstance(dtype, str) or named != str(dtype) else dtype)
    except TypeError:
        chosen = None
    if chosen is None or not jnp.issubdtype(chosen, jnp.floating):
        raise InputError(f"dtype must be a floating type such as jnp.bfloat16 or 'float16', got {dtype!r}.")
    return chosen


def pick_param_dtype(
    param_dtype: Any, dtype: Any, config: DistilBertConfig, tensors: Tensors | None = None
) -> np.dtype[Any]:
    """Return the floating type of the weights; None is fp32 unless ``dtype`` is wider, or ``"auto"``.

    A half type is one to compute in: weights that are kept in it lose the small steps of training.

    Args:
        param_dtype: as ``dtype``, or None.
        dtype: the type to compute in, as :func:`pick_dtype` takes it.
        config: as there.
        tensors: as there.

    Raises:
        InputError: it is not a floating type.
    """
    if param_dtype is not None:
        return pick_dtype(param_dtype, config, tensors)
    computed = pick_dtype(dtype, config, tensors)
    is_of_file = isinstance(dtype, str) and dtype == "auto"
    return computed if is_of_file else jnp.promote_types(computed, jnp.float32)
