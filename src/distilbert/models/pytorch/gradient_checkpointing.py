"""Recomputing blocks in the backward pass instead of keeping their activations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class GradientCheckpointing:
    """Which blocks are recomputed, and how.

    Attributes:
        options: arguments of ``torch.utils.checkpoint.checkpoint``.
        every_n_layers: each n-th block is recomputed, the first one among them.
        offload: the inputs of these blocks wait in the memory of the host.
    """

    options: dict[str, Any] = field(default_factory=dict)
    every_n_layers: int = 1
    offload: bool = False

    def run(self, block: Callable[..., Any], number: int, arguments: tuple[Any, ...]) -> Any:
        """Return ``block(*arguments)``; ``number`` is that of the block, counted from 0."""
        if number % self.every_n_layers:
            return block(*arguments)
        place: AbstractContextManager[Any] = nullcontext()
        if self.offload:
            place = save_on_cpu(pin_memory=torch.cuda.is_available())
        with place:
            return checkpoint(block, *arguments, **({"use_reentrant": False} | self.options))
