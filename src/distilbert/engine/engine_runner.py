"""The engine behind the runner protocol. Legend: T packed tokens, R rows that the head reads, D dim."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.allocator import keep_buffers
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.model_checks import check_length
from ..core.runner_protocol import Batch, check_batch, name_outputs
from ..core.schema import Head
from .encoder import Encoder
from .kernel_library import load_operations
from .model_protocol import PytorchModel
from .precision import DTYPES, has_bf16, pick_precision, pick_threads
from .products import ProductModule, float_product
from .quantization import Quantization

BF16_TOLERANCE = 0.05  # largest error of hidden states in bf16, relative to their norm, for "auto" to choose it


class EngineRunner:
    """Runs a PyTorch model on the CPU: packed tokens, prepared weights, and only the rows that the head reads.

    The runner prepares copies of the weights. After more training of the model, make a new runner.

    Args:
        model: any of the six PyTorch classes, on the CPU.
        precision: ``"fp32"``, ``"bf16"``, ``"int8"`` or ``"auto"``; see :func:`.precision.pick_precision`. ``"auto"``
            also compares bf16 with fp32 on a few tokens of this model, and takes fp32 if they disagree.
        threads: to compute with; None leaves PyTorch's number.
        quantization: of the model, for int8.

    Attributes:
        model: the model.
        precision: the one that runs.
        threads: number of threads.
        quantization: what runs in int8; None in other precisions.

    Raises:
        InputError: there is no such precision or number of threads, or the model is not on the CPU.
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
        self.quantization = quantization if self.precision == "int8" else None
        self._encoder = self._build_encoder()
        if precision == "auto" and self.precision == "bf16" and not self._agrees_with_fp32():
            self.precision = "fp32"
            self._encoder = self._build_encoder()
        self._head = self._build_head()

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
        check_length(self.model.config, int(batch.lengths.max(initial=0)))
        rows = batch.rows if self.head.per_token else batch.offsets[:-1]
        with torch.inference_mode():
            hidden = self._encoder(torch.from_numpy(batch.input_ids), batch.offsets, rows)  # (R, D)
            outputs = hidden if self._head is None else self._head(hidden)
            return name_outputs(self.head, outputs.float().numpy())

    def _build_encoder(self) -> Encoder:
        if self.quantization is None:
            dtype, ranges = DTYPES[self.precision], {}
        else:
            # The folder may have been quantized on a CPU with bf16, and run on one without it.
            dtype = DTYPES[self.quantization.float_precision if has_bf16() else "fp32"]
            ranges = dict(self.quantization.ranges)
        return Encoder(self.model.base_model, dtype, ranges, load_operations())

    def _build_head(self) -> Any:
        """Return the head as a function of hidden states, in the encoder's type; None for the bare encoder."""
        if not self.head.name:
            return None
        shared: dict[int, Any] = {id(self.model.base_model): None, id(self.config): self.config}
        if self._encoder.dtype == self.model.dtype:
            shared |= {id(parameter): parameter for parameter in self.model.parameters()}
        model: Any = copy.deepcopy(self.model, shared)
        model = model.to(self._encoder.dtype)
        for name, module in list(model.named_children()):
            if isinstance(module, nn.Linear):
                weight, bias = module.weight.detach(), module.bias.detach()
                product = float_product(weight, bias, weight.dtype, "", load_operations())
                setattr(model, name, ProductModule(product))
        return model.head

    def _agrees_with_fp32(self) -> bool:
        """Compare hidden states of 48 random tokens, so that outliers of this very model count."""
        generator = torch.Generator().manual_seed(0)
        length = min(24, self.config.max_position_embeddings)
        ids = torch.randint(0, self.config.vocab_size, (2 * length,), generator=generator)
        with torch.inference_mode():
            expected = self.model.base_model.forward_packed(ids, [length, length]).float()
            actual = self._encoder(ids, np.array([0, length, 2 * length]), None).float()
        return bool((actual - expected).norm() <= BF16_TOLERANCE * expected.norm())
