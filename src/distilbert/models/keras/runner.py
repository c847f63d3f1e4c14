"""Keras behind the runner protocol: packed ids in, NumPy arrays out.

Legend: B sequences, S longest of them, T packed tokens, R rows asked for, D dim, L labels.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from ...core.config import DistilBertConfig
from ...core.model_checks import check_length
from ...core.runner_protocol import Batch, check_batch, name_outputs
from ...core.schema import Head
from .device import copy_to, device_of, pick_device
from .pretrained import TFDistilBertPreTrainedModel

MULTIPLE = 32


class KerasRunner:
    """Runs a model on packed batches through one compiled function.

    Batches become rectangles whose sides are rounded up, so that few shapes are ever compiled: on TensorFlow one graph
    serves them all, other backends compile one a shape.

    Args:
        model: any of the six classes.
        device: where to run, as :func:`.device.pick_device` takes it; None for where the weights are. On another
            device than theirs, the runner has a copy of them, so one that goes on training needs a new runner.
    """

    def __init__(self, model: TFDistilBertPreTrainedModel, device: Any = None) -> None:
        self.model = model
        there = device_of(model)
        self.device = there if device is None else pick_device(device)
        self._rows = _Rows(model if self.device == there else copy_to(model, self.device))
        # XLA would compile for every shape; TensorFlow's plain graphs take any.
        self._rows.compile(jit_compile=keras.backend.backend() != "tensorflow")

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.model.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self.model.head_spec

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        check_length(self.config, int(batch.lengths.max(initial=0)))
        padded, mask = _widen(*batch.padded(self.config.pad_token_id or 0), self.config.max_position_embeddings)
        if self.head.per_token:
            places = np.flatnonzero(mask)  # of the T packed tokens in the rectangle
            places = places if batch.rows is None else places[batch.rows]
        else:
            places = np.arange(len(batch.lengths)) * mask.shape[1]
        count = len(places)
        rows = np.zeros(_round(count), dtype=np.int32)
        rows[:count] = places
        with keras.device(self.device):
            result = self._rows.predict_on_batch({"ids": padded, "mask": mask, "rows": rows})
        values = np.asarray(result, dtype=np.float32)[:count]  # (R, D) or (R, L)
        return name_outputs(self.head, values)


class _Rows(keras.Model):
    """The head on the rows asked for alone: every other token costs it nothing."""

    def __init__(self, model: TFDistilBertPreTrainedModel) -> None:
        super().__init__(name="rows", dtype=model.dtype_policy)
        self.model = model
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """``ids`` and ``mask`` (B, S), ``rows`` (R,) places in the flattened rectangle: (R, D) or (R, L)."""
        output = self.model.base_model(inputs["ids"], inputs["mask"], output_hidden_states=False,
                                       output_attentions=False, return_dict=True)  # fmt: skip
        hidden = ops.reshape(output.last_hidden_state, (-1, self.model.config.dim))  # (B * S, D)
        hidden = ops.take(hidden, inputs["rows"], axis=0)  # (R, D)
        return self.model.head(hidden) if self.model.head_spec.name else hidden


def _widen(ids: np.ndarray, mask: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Round the sides of a rectangle up, with padding."""
    batch, length = ids.shape
    sides = (_round(batch), min(limit, -(-max(length, 1) // MULTIPLE) * MULTIPLE))
    wide = np.zeros((2, *sides), dtype=np.int32)
    wide[0, :batch, :length] = ids
    wide[1, :batch, :length] = mask
    return wide[0], wide[1]


def _round(number: int) -> int:
    """Round up to a power of two where each shape is compiled on its own."""
    if keras.backend.backend() == "tensorflow":
        return max(number, 1)
    return 1 << max(number - 1, 0).bit_length()
