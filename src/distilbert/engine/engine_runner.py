"""The engine behind the runner protocol. Legend: T packed tokens, R rows that the head reads, D dim."""

from __future__ import annotations

import copy
import threading
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..core.allocator import keep_buffers
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.forks import end_threads_before_forks
from ..core.model_checks import check_length
from ..core.module_snapshot import ModuleSnapshot, evaluation_mode
from ..core.runner_protocol import Batch, check_batch, name_outputs
from ..core.schema import Head
from .encoder import Encoder
from .kernel_library import load_operations
from .model_protocol import PytorchModel, bias_of, check_supported, is_plain_linear
from .precision import DTYPES, has_bf16, pick_precision, pick_threads
from .products import ProductModule, float_product
from .quantization import Quantization

BF16_TOLERANCE = 0.05  # largest error of hidden states in bf16, relative to their norm, for "auto" to choose it


@dataclass(frozen=True)
class Prepared:
    """A model prepared to run.

    Attributes:
        precision: that it runs in.
        quantization: what runs in int8; None in other precisions.
        encoder: ids to hidden states.
        head: hidden states (R, D) to what the model answers; None for the bare encoder.
        snapshot: what it was made from.
    """

    precision: str
    quantization: Quantization | None
    encoder: Encoder
    head: Any
    snapshot: ModuleSnapshot


class EngineRunner:
    """Runs a PyTorch model on the CPU: packed tokens, prepared weights, and only the rows that the head reads.

    The runner prepares copies of the weights. Before each batch it looks whether the model has changed, and prepares it
    anew if so.

    Args:
        model: any of the six PyTorch classes, on the CPU.
        precision: ``"fp32"``, ``"bf16"``, ``"int8"`` or ``"auto"``; see :func:`.precision.pick_precision`. ``"auto"``
            also compares bf16 with fp32 on a few tokens of this model, and takes fp32 if they disagree.
        threads: to compute with; None leaves PyTorch's number.
        quantization: of the model, for int8. It holds for the weights that the model has now.

    Attributes:
        model: the model.
        threads: number of threads.

    Raises:
        InputError: there is no such precision or number of threads, or the engine cannot run the model.
    """

    def __init__(
        self,
        model: PytorchModel,
        precision: str = "auto",
        threads: int | None = None,
        quantization: Quantization | None = None,
    ) -> None:
        check_supported(model)
        keep_buffers()
        end_threads_before_forks()
        self.model = model.eval()
        self.threads = pick_threads(threads)
        self._requested, self._lock = precision, threading.Lock()
        self._prepared = self._prepare(quantization)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the model; weights laid out for this machine are made anew."""
        precision = "auto" if self._requested == "auto" else self.precision
        return type(self), (self.model, precision, self.threads, self.quantization)

    @property
    def precision(self) -> str:
        """The precision that runs."""
        return self._prepared.precision

    @property
    def quantization(self) -> Quantization | None:
        """What runs in int8; None in other precisions."""
        return self._prepared.quantization

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
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify; or the
                model has changed into one that the engine cannot run.
        """
        check_batch(batch, self.config, self.head)
        check_length(self.model.config, int(batch.lengths.max(initial=0)))
        rows = batch.rows if self.head.per_token else batch.offsets[:-1]
        prepared = self._current(batch.input_ids)
        with torch.inference_mode():
            hidden = prepared.encoder(torch.from_numpy(batch.input_ids), batch.offsets, rows)  # (R, D)
            outputs = hidden if prepared.head is None else prepared.head(hidden)
            return name_outputs(self.head, outputs.float().numpy())

    def _current(self, ids: np.ndarray) -> Prepared:
        """Return the model prepared with the weights that it has now; ``ids`` (T,) are the words that are needed."""
        prepared = self._prepared
        if prepared.snapshot.is_current() and prepared.encoder.has_current_words(ids):
            return prepared
        with self._lock:
            if self._prepared is prepared:  # no other thread did it meanwhile
                check_supported(self.model)
                if prepared.quantization is not None:
                    if self._requested == "int8":
                        raise InputError(
                            "The model has changed, and its int8 ranges belong to the weights that it had. Save the "
                            "model, run `distilbert quantize` on the folder, and load the result; or use "
                            "precision='auto'."
                        )
                    warnings.warn(
                        "The model has changed, and its int8 ranges belong to the weights that it had: it runs in "
                        "floats now. `distilbert quantize` finds the new ranges.",
                        stacklevel=4,
                    )
                self._prepared = self._prepare(None)
            return self._prepared

    def _prepare(self, quantization: Quantization | None) -> Prepared:
        """Prepare the weights that the model has now."""
        snapshot = ModuleSnapshot(self.model)
        precision = pick_precision(self._requested, quantization is not None)
        if precision != "int8":
            quantization = None
        encoder = self._build_encoder(precision, quantization)
        if self._requested == "auto" and precision == "bf16" and not self._agrees_with_fp32(encoder):
            precision = "fp32"
            encoder = self._build_encoder(precision, None)
        return Prepared(precision, quantization, encoder, self._build_head(encoder.dtype), snapshot)

    def _build_encoder(self, precision: str, quantization: Quantization | None) -> Encoder:
        if quantization is None:
            dtype, ranges = DTYPES[precision], {}
        else:
            # The folder may have been quantized on a CPU with bf16, and run on one without it.
            dtype = DTYPES[quantization.float_precision if has_bf16() else "fp32"]
            ranges = dict(quantization.ranges)
        return Encoder(self.model.base_model, dtype, ranges, load_operations())

    def _build_head(self, dtype: torch.dtype) -> Any:
        """Return the head as a function of hidden states, in the encoder's type; None for the bare encoder."""
        if not self.head.name:
            return None
        shared: dict[int, Any] = {id(self.model.base_model): None, id(self.config): self.config}
        if dtype == self.model.dtype:
            shared |= {id(parameter): parameter for parameter in self.model.parameters()}
        model: Any = copy.deepcopy(self.model, shared)
        model = model.to(dtype).eval()
        for name, module in list(model.named_children()):
            if is_plain_linear(module):
                weight, bias = module.weight.detach(), bias_of(module)
                product = float_product(weight, bias, weight.dtype, "", load_operations())
                setattr(model, name, ProductModule(product))
        return model.head

    def _agrees_with_fp32(self, encoder: Encoder) -> bool:
        """Compare hidden states of 48 random tokens, so that outliers of this very model count."""
        generator = torch.Generator().manual_seed(0)
        length = min(24, self.config.max_position_embeddings)
        ids = torch.randint(0, self.config.vocab_size, (2 * length,), generator=generator)
        with torch.inference_mode():
            with evaluation_mode(self.model.base_model):
                expected = self.model.base_model.forward_packed(ids, [length, length]).float()
            actual = encoder(ids, np.array([0, length, 2 * length]), None).float()
        return bool((actual - expected).norm() <= BF16_TOLERANCE * expected.norm())
