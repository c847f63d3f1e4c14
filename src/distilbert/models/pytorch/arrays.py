"""PyTorch's tensors and the rest of the package: conversion to and from NumPy, output classes in PyTorch's tools."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...core.outputs import ModelOutput


def to_torch(array: np.ndarray) -> Tensor:
    """Return a tensor that shares the array's memory where possible."""
    array = np.require(array, requirements=["C", "W"])
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return an array, which shares a CPU tensor's memory."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def known_shape(tensor: Tensor | None) -> tuple[int | None, ...] | None:
    """Return the shape of a tensor; all sizes are None while ``torch.jit.trace`` records, which holds for any size."""
    if tensor is None:
        return None
    return (None,) * tensor.dim() if is_tracing() else tuple(tensor.shape)


def is_tracing() -> bool:
    """Whether ``torch.jit.trace`` or ``torch.onnx.export(dynamo=False)`` records this call."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined]


def _register(output: type[ModelOutput]) -> None:
    """Let torch.export, torch.compile and data-parallel wrappers see the tensors in an output."""

    def flatten(value: ModelOutput) -> tuple[list[Any], list[str]]:
        return list(value.values()), list(value)

    def unflatten(values: Any, names: list[str]) -> ModelOutput:
        return output(dict(zip(names, values, strict=True)))

    pytree.register_pytree_node(output, flatten, unflatten, serialized_type_name=f"distilbert.{output.__name__}")
    for derived in output.__subclasses__():
        _register(derived)


for _output in ModelOutput.__subclasses__():
    _register(_output)
