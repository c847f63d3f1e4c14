"""From what a caller writes to a device and a floating type."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import keras

from ...core.config import DistilBertConfig
from ...core.errors import DeviceError, InputError
from ...core.model_checks import only_device
from ...weights.tensors import Tensors

KINDS = ("cpu", "gpu", "tpu")
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def list_devices() -> list[str]:
    """Return the devices that Keras's backend sees, as ``["cpu:0", "gpu:0"]``."""
    found: list[str] = []
    for kind in KINDS:
        try:
            found += keras.distribution.list_devices(kind)
        except RuntimeError:  # how JAX says that it has none of this kind
            continue
    return found


def pick_device(device: Any) -> str:
    """Return Keras's name of the device that ``device`` means, such as ``"cpu:0"``.

    Args:
        device: None or -1 for the CPU; ``"auto"`` for a GPU or TPU if there is one; a number for that GPU; the name of
            a kind of device, alone or with a number: ``"cpu"``, ``"cuda:1"``, ``"gpu:1"``; TensorFlow's full name of a
            device; or a map such as ``{"": device}``.

    Raises:
        DeviceError: this machine has no such device.
    """
    if isinstance(device, Mapping):
        return pick_device(only_device(device))
    available = list_devices()
    if device in ("auto", "balanced", "sequential"):
        return next((name for name in available if not name.startswith("cpu")), "cpu:0")
    if device is None or (isinstance(device, int) and device < 0):
        name = "cpu"
    elif isinstance(device, int):
        name = f"gpu:{device}"
    else:
        name = str(device).lower().rpartition("/device:")[2].replace("cuda", "gpu")
    kind, _, number = name.partition(":")
    backend = keras.backend.backend()
    title = NAMES.get(backend, backend)
    if kind not in KINDS or not (number or "0").isdecimal():
        raise DeviceError(f"device {device!r} is none that {title} knows: use 'cpu', 'cuda:0', a number or 'auto'.")
    name = f"{kind}:{number or 0}"
    if name not in available:
        version = importlib.import_module(backend).__version__
        raise DeviceError(
            f"device {device!r} is not there: {title} {version} sees {', '.join(available)}. "
            "Use device='cpu', or 'auto' to take whatever there is."
        )
    return name


def pick_dtype(dtype: Any, config: DistilBertConfig, tensors: Tensors | None = None) -> Any:
    """Return the dtype policy that ``dtype`` means; None is Keras's current one.

    Args:
        dtype: the name of a floating type (``"bfloat16"``) or of a policy (``"mixed_bfloat16"``), a policy, a NumPy or
            TensorFlow type, or ``"auto"``.
        config: its ``dtype`` is used for ``"auto"``.
        tensors: for ``"auto"`` without a ``dtype`` in the configuration, the type of the first floating tensor is used.

    Raises:
        InputError: it is not a floating type.
    """
    if dtype is None:
        return keras.config.dtype_policy()
    if dtype == "auto":
        dtype = config.dtype_name or next((t.dtype for t in (tensors or {}).values() if "float" in t.dtype), "float32")
    if isinstance(dtype, keras.dtype_policies.DTypePolicy):
        return dtype
    name = dtype if isinstance(dtype, str) else str(getattr(dtype, "name", getattr(dtype, "__name__", dtype)))
    name = name.removeprefix("tf.").removeprefix("torch.")
    try:
        policy = keras.dtype_policies.get(name)
    except ValueError:
        policy = None
    if policy is None or "float" not in (policy.compute_dtype or ""):
        raise InputError(
            f"dtype must be a floating type such as 'float16' or a policy such as 'mixed_bfloat16', got {dtype!r}."
        )
    return policy


def device_of(model: Any) -> str:
    """Return Keras's name of the device that a model's weights are on; the first of several."""
    tensor = model.get_input_embeddings().embeddings.value
    if hasattr(tensor, "devices"):  # JAX
        return min(f"{device.platform}:{device.id}" for device in tensor.devices())
    return str(tensor.device).lower().rpartition("/device:")[2].replace("cuda", "gpu")


def copy_to(model: Any, device: str) -> Any:
    """Return a model with the same configuration, types and weights on a device, as :func:`pick_device` names it."""
    with keras.device(device):
        copy = type(model)(model.config, dtype=model.dtype_policy)
        copy.set_arrays(model.get_arrays())
    return copy
