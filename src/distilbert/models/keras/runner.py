"""Keras behind the runner protocol: packed ids in, NumPy arrays out.

Legend: B sequences, S longest of them, T packed tokens, R requested tokens, D dim, L labels.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from ...core.config import DistilBertConfig, call_options
from ...core.model_checks import check_length
from ...core.runner_protocol import Batch, check_batch, name_outputs, pools_mean
from ...core.schema import Head
from .device import copy_to, device_of, pick_device
from .heads import mean_of_tokens
from .pretrained import TFDistilBertPreTrainedModel
from .snapshot import ModelSnapshot

LENGTH_MULTIPLE = 32


class KerasRunner:
    """Runs a model on packed batches through one compiled function.

    Batches are padded to a few shapes. On TensorFlow one graph serves all of them, other backends compile one for each.
    Before each batch the runner looks whether the model or its configuration has changed, and compiles anew if so.

    Args:
        model: any of the six classes.
        device: where to run, as :func:`.device.pick_device` takes it; None for the device of the weights. On another
            device the runner has a copy of the weights, which is made anew where they have changed.
    """

    def __init__(self, model: TFDistilBertPreTrainedModel, device: Any = None) -> None:
        self.model = model
        self._device = device_of(model) if device is None else pick_device(device)
        self._prepare()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the model alone; compiled functions are made anew."""
        return type(self), (self.model, self._device)

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.model.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self.model.head_spec

    @property
    def device(self) -> str:
        """Name of the device that it runs on, such as ``"cpu:0"``."""
        return self._device

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        check_length(self.config, int(batch.lengths.max(initial=0)))
        padded, mask = _pad(*batch.padded(self.config.pad_token_id or 0), self.config.max_position_embeddings)
        if self.head.per_token:
            positions = np.flatnonzero(mask)  # of the T packed tokens in the flattened rectangle
            positions = positions if batch.rows is None else positions[batch.rows]
        else:
            positions = np.arange(len(batch.lengths)) * mask.shape[1]
        count = len(positions)
        rows = np.zeros(_round_up(count), dtype=np.int32)
        rows[:count] = positions
        if not self._snapshot.is_current() or call_options(self.config) != self._options:
            self._prepare()
        with keras.device(self.device):
            outputs = self._selected_tokens.predict_on_batch({"ids": padded, "mask": mask, "rows": rows})
        values = np.asarray(outputs, dtype=np.float32)[:count]  # (R, D) or (R, L)
        return name_outputs(self.head, values)

    def _prepare(self) -> None:
        """Make what computes, with the weights of now, and keep what it was made from."""
        copied = self._device != device_of(self.model)
        self._snapshot, self._options = ModelSnapshot(self.model, copied), call_options(self.config)
        self._selected_tokens = _SelectedTokens(copy_to(self.model, self._device) if copied else self.model)
        # XLA would compile for every shape; TensorFlow's plain graphs take any.
        self._selected_tokens.compile(jit_compile=keras.backend.backend() != "tensorflow")


class _SelectedTokens(keras.Model):
    """Runs the encoder on all tokens and the head on the requested ones alone."""

    def __init__(self, model: TFDistilBertPreTrainedModel) -> None:
        super().__init__(name="selected_tokens", dtype=model.dtype_policy)
        self.model = model
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Take ``ids`` and ``mask`` (B, S) and ``rows`` (R,) of the flattened rectangle; return (R, D) or (R, L).

        A head that reads the mean of a sequence answers for all sequences.
        """
        output = self.model.base_model(inputs["ids"], inputs["mask"], output_hidden_states=False,
                                       output_attentions=False, return_dict=True)  # fmt: skip
        if pools_mean(self.model.head_spec, self.model.config):
            return self.model.head(mean_of_tokens(output.last_hidden_state, inputs["mask"]))
        hidden = ops.reshape(output.last_hidden_state, (-1, self.model.config.dim))  # (B * S, D)
        hidden = ops.take(hidden, inputs["rows"], axis=0)  # (R, D)
        return self.model.head(hidden) if self.model.head_spec.name else hidden


def _pad(ids: np.ndarray, mask: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Pad ids and mask (B, S) to the next shape that is compiled."""
    batch, length = ids.shape
    shape = (_round_up(batch), min(limit, -(-max(length, 1) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE))
    padded = np.zeros((2, *shape), dtype=np.int32)
    padded[0, :batch, :length] = ids
    padded[1, :batch, :length] = mask
    return padded[0], padded[1]


def _round_up(number: int) -> int:
    """Round up to a power of two where each shape is compiled on its own."""
    if keras.backend.backend() == "tensorflow":
        return max(number, 1)
    return 1 << max(number - 1, 0).bit_length()
