"""Whether a PyTorch model still is what it was when a runner prepared its weights.

A runner lays weights out anew, so it has copies. Training the model afterwards, loading other weights into it, or
putting another layer into it leaves those copies as they were. So a runner takes a :class:`ModuleSnapshot` of the model
and compares it before each batch. This file imports no framework: it reads attributes of every ``torch.nn.Module``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np

FULL_VECTOR = 64  # numbers of a bias or a LayerNorm that are all compared
FULL_MATRIX = 1 << 14  # numbers of a matrix that are all compared, such as those of a classifier
SAMPLES = 16  # numbers that are compared of a larger tensor
GOLDEN_RATIO = 0.618  # a step by this part of a row visits all regions of the columns evenly


class ModuleSnapshot:
    """What a PyTorch model consists of at one moment. Comparing it takes some tens of microseconds.

    Compared are:

    - the modules, parameters and buffers themselves, since others may have been put in their place
    - the version of each tensor, which PyTorch counts up with every change in place
    - the address of each tensor, since ``parameter.data = ...`` keeps the version
    - numbers of each tensor on the CPU, since ``parameter.data.mul_(...)`` keeps both: all of a small tensor, and a few
      of a large one. Those of a large matrix are spread so that every eighth of its rows and of its columns holds one.
      A change through ``.data`` of a smaller region of a large matrix is not noticed.

    Args:
        model: the model.
    """

    def __init__(self, model: Any) -> None:
        every = [
            members for module in model.modules() for members in (module._parameters, module._buffers, module._modules)
        ]
        self._used = [members.values() for members in every if members]
        self._unused = [members for members in every if not members]
        self._members = list(chain.from_iterable(self._used))  # keeps them alive, so that no other gets the same id
        self._ids = list(map(id, self._members))
        self._tensors = [member for member in self._members if hasattr(member, "data_ptr")]
        self._versions, self._addresses = self._read_versions(), self._read_addresses()
        self._samples = [sample for sample in map(_sample, self._tensors) if sample is not None]
        self._sampled = self._read_samples()

    def is_current(self) -> bool:
        """Say whether the model is the same as at that moment."""
        return (
            list(map(id, chain.from_iterable(self._used))) == self._ids
            and not any(self._unused)
            and self._read_addresses() == self._addresses
            and self._read_versions() == self._versions
            and self._read_samples() == self._sampled
        )

    def _read_versions(self) -> list[int]:
        try:
            return [tensor._version for tensor in self._tensors]
        except RuntimeError:  # a tensor that was made in inference mode has no version
            return [0 if tensor.is_inference() else tensor._version for tensor in self._tensors]

    def _read_addresses(self) -> list[int]:
        return [tensor.data_ptr() for tensor in self._tensors]

    def _read_samples(self) -> bytes:
        """Read the samples; only allowed while the addresses are the same."""
        return b"".join([sample.tobytes() for sample in self._samples])


def _sample(tensor: Any) -> np.ndarray | None:
    """Return a view of some numbers of a tensor's memory; None if the CPU cannot read it."""
    size, width = tensor.numel(), tensor.element_size()
    if tensor.device.type != "cpu" or not size or not tensor.data_ptr() or not tensor.is_contiguous():
        return None
    # Not tensor.numpy(): that would forbid the owner of the tensor to resize it, and does not know bf16.
    memory = (ctypes.c_char * (size * width)).from_address(tensor.data_ptr())
    numbers = np.frombuffer(memory, dtype=f"V{width}")
    if size <= (FULL_VECTOR if tensor.dim() < 2 else FULL_MATRIX):
        return numbers
    columns = tensor.shape[-1]
    rows = size // columns
    step = rows // SAMPLES * columns + round(GOLDEN_RATIO * columns) if rows >= SAMPLES else max(1, size // SAMPLES)
    return numbers[step // 2 :: step]


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Put a PyTorch model into evaluation mode until the block ends; then each module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
