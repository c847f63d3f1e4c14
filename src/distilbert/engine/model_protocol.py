"""What the engine reads of a PyTorch model. The engine imports no model code, so this says what such a model has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from ..core.config import DistilBertConfig
from ..core.schema import Head


class PytorchModel(Protocol):
    """One of the six PyTorch classes of :mod:`distilbert.models.pytorch`.

    Attributes:
        config: its configuration.
    """

    config: DistilBertConfig

    @property
    def base_model(self) -> Any:
        """The encoder, with ``embeddings``, ``transformer`` and ``forward_packed``."""

    @property
    def head_spec(self) -> Head:
        """Which head it has."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""

    def eval(self) -> Self:
        """Switch to evaluation mode."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its weights."""

    def head(self, hidden: Tensor) -> Any:
        """Compute the head's outputs from hidden states (R, D)."""
