"""The engine behind the runner protocol. Legend: T packed tokens, R rows asked for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.allocator import keep_buffers
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.runner_protocol import Batch, check_batch, name_outputs
from ..core.schema import Head
from .encoder import Encoder
from .library import operations
from .model import PytorchModel
from .precision import DTYPES, has_bf16, pick_precision, pick_threads
from .products import ProductLinear, float_product
from .quantization import Quantization

TOLERANCE = 0.05  # of hidden states in bf16, against their size


class EngineRunner:
    """Runs a model on the CPU as fast as we know how: packed tokens, fused products, nothing that the head leaves out.

    The weights are copied into layouts of their own; a model that goes on training needs a new runner to be seen.

    Args:
        model: any of the six PyTorch classes, on the CPU.
        precision: ``"fp32"``, ``"bf16"``, ``"int8"`` or ``"auto"``; see :func:`.precision.pick_precision`. ``"auto"``
            also compares bf16 with fp32 on a few tokens of this model and takes fp32 where they disagree.
        threads: to compute with; None leaves PyTorch's number.
        quantization: of the model, for int8.

    Attributes:
        precision: the one that runs.
        model: the model.

    Raises:
        InputError: a precision or a number of threads that cannot be, or a model that is not on the CPU.
    """

    def __init__(
        self,
        model: PytorchModel,
        precision: str = "auto",
        threads: int | None = None,
        quantization: Quantization | None = None,
    ) -> None:
        if model.device.type != "cpu":
            raise InputError(f"The engine runs on CPUs and the model is on {model.device}; use runner='pytorch' there.")
        keep_buffers()
        self.model = model.eval()
        self.threads = pick_threads(threads)
        self.precision = pick_precision(precision, quantization is not None)
        self._encoder = self._build(quantization)
        if precision == "auto" and self.precision == "bf16" and not self._agrees():
            self.precision = "fp32"
            self._encoder = self._build(None)
        self._head = self._float_head()

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.model.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self.model.head_spec

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return self.model.device

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        self.model.base_model.check_length(int(batch.lengths.max(initial=0)))
        rows = batch.rows if self.head.per_token else batch.offsets[:-1]
        with torch.inference_mode():
            hidden = self._encoder(torch.from_numpy(batch.input_ids), batch.offsets, rows)
            answers = hidden if self._head is None else self._head(hidden)
            return name_outputs(self.head, answers.float().numpy())

    def _build(self, quantization: Quantization | None) -> Encoder:
        int8 = self.precision == "int8"
        assert not int8 or quantization is not None
        beside = "fp32" if quantization is None or not has_bf16() else quantization.beside  # made on another CPU
        dtype = DTYPES[beside if int8 else self.precision]
        scales = quantization.scales if quantization and int8 else {}
        return Encoder(self.model.base_model, dtype, scales, operations())

    def _float_head(self) -> Any:
        """Return the head in the encoder's type, its products laid out; None for the bare encoder."""
        if not self.head.name:
            return None
        kept: dict[int, Any] = {id(self.model.base_model): None, id(self.config): self.config}
        if self._encoder.dtype == self.model.dtype:
            kept |= {id(parameter): parameter for parameter in self.model.parameters()}
        head: Any = copy.deepcopy(self.model, kept)
        head = head.to(self._encoder.dtype)
        for name, module in list(head.named_children()):
            if isinstance(module, nn.Linear):
                product = float_product(
                    module.weight.detach(), module.bias.detach(), module.weight.dtype, "", operations()
                )
                setattr(head, name, ProductLinear(product))
        return head.head

    def _agrees(self) -> bool:
        """Compare a few tokens in bf16 with fp32, layer norm and outliers of this very model included."""
        generator = torch.Generator().manual_seed(0)
        length = min(24, self.config.max_position_embeddings)
        ids = torch.randint(0, self.config.vocab_size, (2 * length,), generator=generator)
        with torch.inference_mode():
            plain = self.model.base_model.forward_packed(ids, [length, length]).float()
            ours = self._encoder(ids, np.array([0, length, 2 * length]), None).float()
        return bool((ours - plain).norm() <= TOLERANCE * plain.norm())
