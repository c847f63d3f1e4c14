"""Arrays of other libraries: the only place of this room that imports a framework, and only when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.errors import InputError, suggest
from ..core.extras import require


def _to_numpy(array: np.ndarray[Any, Any]) -> Any:
    return array


def _to_torch(array: np.ndarray[Any, Any]) -> Any:
    return require("torch", "torch").from_numpy(array)


def _to_tensorflow(array: np.ndarray[Any, Any]) -> Any:
    return require("tensorflow", "keras").constant(array)


def _to_jax(array: np.ndarray[Any, Any]) -> Any:
    return require("jax.numpy", "flax").asarray(array)


_MAKERS: dict[str, Callable[[np.ndarray[Any, Any]], Any]] = {
    "np": _to_numpy,
    "pt": _to_torch,
    "tf": _to_tensorflow,
    "jax": _to_jax,
}


def check_kind(kind: Any) -> str:
    """Return the name of a tensor kind (``"np"``, ``"pt"``, ``"tf"``, ``"jax"``); accepts enums of other libraries.

    Raises:
        InputError: there is no such kind.
    """
    name = str(getattr(kind, "value", kind))
    if name not in _MAKERS:
        raise InputError(
            f"return_tensors={kind!r} is not known: expected 'pt' (PyTorch), 'np' (NumPy), 'tf' (TensorFlow) or 'jax'."
            f"{suggest(name, _MAKERS)}"
        )
    return name


def to_tensors(array: np.ndarray[Any, Any], kind: str) -> Any:
    """Turn a NumPy array into a tensor of the same shape and, where the library has it, the same type.

    Raises:
        InputError: ``kind`` is none of ``"np"``, ``"pt"``, ``"tf"``, ``"jax"``.
        MissingExtraError: the library is not installed.
    """
    return _MAKERS[check_kind(kind)](array)
