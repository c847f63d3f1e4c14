"""The engine behind the runner protocol. Legend: T packed tokens, R rows that the head reads, D dim."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import __version__
from ..core.config import DistilBertConfig
from ..core.errors import InputError
from ..core.forks import ForkSafeLock
from ..core.model_checks import check_length
from ..core.runner_protocol import Batch, check_batch, name_outputs, pools_mean, read_rows
from ..core.schema import HEADS, Head, head_of
from ..weights.checkpoint import open_checkpoint
from .cache_folder import read_note, write_note
from .head_functions import build_head, mean_by_sequence
from .kernel_library import load_operations
from .laid_out_weights import WeightStore
from .model_weights import FolderWeights, HeadFunction, ModelWeights, Snapshot, weights_of
from .packed_encoder import PackedEncoder
from .packed_weights import PackedWeights, build_packed, describe, packed_weights_of
from .precision import DTYPES, has_bf16, pick_precision, pick_threads
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
        snapshot: of the weights that it was made from.
    """

    precision: str
    quantization: Quantization | None
    encoder: PackedEncoder
    head: HeadFunction | None
    snapshot: Snapshot


class EngineRunner:
    """Runs a model on the CPU: packed tokens, prepared weights, and only the rows that the head reads.

    It needs no framework: :meth:`from_folder` reads a folder by itself. The runner prepares copies of the weights of a
    model in memory. Before each batch it looks whether the model has changed, and prepares it anew if so.

    Args:
        model: any of the classes of the three frameworks, on the CPU; or the weights of one, see
            :class:`.model_weights.ModelWeights`.
        precision: ``"fp32"``, ``"bf16"``, ``"int8"`` or ``"auto"``; see :func:`.precision.pick_precision`. ``"auto"``
            also compares bf16 with fp32 on a few tokens of this model, and takes fp32 if they disagree.
        threads: to compute with; None for as many as there are cores, or as ``OMP_NUM_THREADS`` says.
        quantization: of the model, for int8. It holds for the weights that the model has now.
        packed: map laid-out weights of a folder from a file, which is written into the cache at the first use (see
            :mod:`.packed_weights`). ``quantization`` must then be that of the folder.

    Attributes:
        threads: number of threads.

    Raises:
        InputError: there is no such precision or number of threads, or the engine cannot run the model.
    """

    def __init__(
        self,
        model: Any,
        precision: str = "auto",
        threads: int | None = None,
        quantization: Quantization | None = None,
        packed: bool = False,
    ) -> None:
        self._weights = weights_of(model)
        if hasattr(model, "eval"):
            model.eval()
        self.threads = pick_threads(threads)
        self._requested, self._packed, self._lock = precision, packed, ForkSafeLock()
        self._prepared = self._prepare(quantization)

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        head: str | None = None,
        precision: str = "auto",
        threads: int | None = None,
        packed: bool = True,
    ) -> Self:
        """Read a model's folder, without any framework.

        Args:
            folder: holds ``config.json`` and weights, of a DistilBERT or a BERT; for int8 also
                ``quantization.safetensors``.
            head: name of the head, such as ``"ForMaskedLM"``, or ``""`` for the bare encoder; None: that of the model.
            precision: as for the class.
            threads: as for the class.
            packed: as for the class.

        Raises:
            ModelNotFoundError: there is no such folder, or no model in it.
            WeightsError: its weights are damaged.
            InputError: as for the class, or the folder has no weights for the head.
        """
        checkpoint = open_checkpoint(folder, where="EngineRunner.from_folder")
        known = head_of(checkpoint.config.architectures) if head is None else HEADS[head]
        weights = FolderWeights(checkpoint, known or HEADS[""])
        return cls(weights, precision, threads, Quantization.load(checkpoint.folder), packed)

    def pack(self) -> Path:
        """Write the laid-out weights into the folder of the model, and return the path of the file.

        From then on they are mapped from there, by every process on a machine with these kernels.

        Raises:
            InputError: the model is loaded in a framework, or its weights are not files in a folder.
            OSError: the file cannot be written.
        """
        file = self._packed_weights(self.precision, self._prepared.encoder.dtype)
        if file is None:
            raise InputError("Only a model whose weights are files in a folder can be packed.")
        file.write(file.path_in_folder, self._builder(self._prepared.encoder.dtype, self.quantization))
        return file.path_in_folder

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the model; weights laid out for this machine are made anew."""
        precision = "auto" if self._requested == "auto" else self.precision
        return type(self), (self._weights, precision, self.threads, self.quantization, self._packed)

    @property
    def model(self) -> Any:
        """The model in its framework. One that was read from a folder is loaded there when this is first read."""
        with self._lock:
            if isinstance(self._weights, FolderWeights):
                # From now on its owner may change it, so it takes the place of the folder.
                self._weights = weights_of(self._weights.model)
                self._prepared = replace(self._prepared, snapshot=self._weights.snapshot())
            return self._weights.model

    @property
    def weights(self) -> ModelWeights:
        """The weights that it reads."""
        return self._weights

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded in a framework."""
        return not isinstance(self._weights, FolderWeights)

    @property
    def device(self) -> Any:
        """The device of a model that is loaded; else ``"cpu"``."""
        return getattr(self._weights.model, "device", "cpu") if self.is_loaded else "cpu"

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
        return self._weights.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self._weights.head

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify; or the
                model has changed into one that the engine cannot run.
        """
        check_batch(batch, self.config, self.head)
        check_length(self.config, int(batch.lengths.max(initial=0)))
        prepared = self._current(batch.input_ids)
        hidden = prepared.encoder(batch.input_ids, batch.offsets, read_rows(batch, self.head, self.config))  # (R, D)
        if pools_mean(self.head, self.config):
            hidden = mean_by_sequence(hidden, batch.offsets)  # (B, D)
        outputs = hidden if prepared.head is None else prepared.head(hidden)
        return name_outputs(self.head, outputs.astype(np.float32, copy=False))

    def _current(self, ids: np.ndarray) -> Prepared:
        """Return the model prepared with the weights that it has now; ``ids`` (T,) are the words that are needed."""
        prepared = self._prepared
        if prepared.snapshot.is_current(ids):
            return prepared
        with self._lock:
            if self._prepared is prepared:  # no other thread did it meanwhile
                self._weights = weights_of(self._weights.model)
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
        snapshot = self._weights.snapshot()
        precision = pick_precision(self._requested, quantization is not None)
        if precision != "int8":
            quantization = None
        if self._requested == "auto" and precision == "bf16" and not self._agrees_with_fp32():
            precision = "fp32"
        encoder, head = self._build(precision, quantization)
        return Prepared(precision, quantization, encoder, head, snapshot)

    def _build(
        self, precision: str, quantization: Quantization | None, packed: bool | None = None
    ) -> tuple[PackedEncoder, HeadFunction | None]:
        """Lay out the weights, or map them."""
        if quantization is None:
            dtype = DTYPES[precision]
        else:
            # The folder may have been quantized on a CPU with bf16, and run on one without it.
            dtype = DTYPES[quantization.float_precision if has_bf16() else "fp32"]
        use_file = self._packed if packed is None else packed
        file = self._packed_weights(precision, dtype) if use_file else None
        return build_packed(file, self._builder(dtype, quantization), self._check)

    def _packed_weights(self, precision: str, dtype: np.dtype[Any]) -> PackedWeights | None:
        if not isinstance(self._weights, FolderWeights):
            return None
        return packed_weights_of(self._weights, precision, dtype.name, load_operations(self.threads))

    def _builder(
        self, dtype: np.dtype[Any], quantization: Quantization | None
    ) -> Callable[[WeightStore], tuple[PackedEncoder, HeadFunction | None]]:
        """Return what builds encoder and head from a store of laid-out weights."""
        operations = load_operations(self.threads)
        ranges = {} if quantization is None else dict(quantization.ranges)

        def build(store: WeightStore) -> tuple[PackedEncoder, HeadFunction | None]:
            encoder = PackedEncoder(self._weights, dtype, ranges, operations, store=store)
            return encoder, build_head(self._weights, dtype, operations, store)

        return build

    def _check(self, built: tuple[PackedEncoder, HeadFunction | None]) -> None:
        """Run no tokens through the model, which checks all shapes.

        Raises:
            InputError: they do not fit the configuration.
        """
        encoder, head = built
        encoder.check()
        if head is not None:
            config, name = self.config, self.head.name
            width = {"ForMaskedLM": config.vocab_size, "ForMultipleChoice": 1}.get(name, config.num_labels)
            if head(np.zeros((0, config.dim), encoder.dtype)).shape != (0, width):
                raise InputError("The laid-out weights of the head do not fit the configuration.")

    def _agrees_with_fp32(self) -> bool:
        """Compare hidden states of 48 random tokens in bf16, so that outliers of this very model count.

        The result is noted in the cache, under what tells the files of weights from others.
        """
        key: Any = None
        if self._packed and isinstance(self._weights, FolderWeights) and self._weights.files:
            files = [describe(file) for file in self._weights.files]
            layout = load_operations(self.threads).layout
            key = ["bf16 agrees with fp32", __version__, layout, self._weights.config.to_json_string(), files]
            noted = read_note(key)
            if isinstance(noted, bool):
                return noted
        length = min(24, self.config.max_position_embeddings)
        ids = np.random.default_rng(0).integers(0, self.config.vocab_size, 2 * length)
        offsets = np.array([0, length, 2 * length])
        expected, actual = (
            self._build(precision, None, packed=False)[0](ids, offsets, None).astype(np.float32)
            for precision in ("fp32", "bf16")
        )
        agrees = bool(np.linalg.norm(actual - expected) <= BF16_TOLERANCE * np.linalg.norm(expected))
        if key is not None:
            write_note(key, agrees)
        return agrees
