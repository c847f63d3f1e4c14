"""Flax behind the runner protocol: packed ids in, NumPy arrays out.

Legend: T packed tokens, R requested tokens, B sequences, S padded length, D dim, L labels or vocabulary.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig, call_options
from ...core.model_checks import check_length
from ...core.runner_protocol import Batch, check_batch, name_outputs, pools_mean
from ...core.schema import Head
from .device import pick_device
from .heads import mean_of_tokens
from .pretrained import FlaxDistilBertPreTrainedModel
from .snapshot import ModelSnapshot


class FlaxRunner:
    """Runs a model on packed batches, compiled, in inference mode.

    A compiled function is for one shape. So batches are padded to a few lengths, numbers of sequences and numbers of
    requested tokens (:func:`round_up`), and each shape is compiled once.

    Before each batch the runner looks whether the model or its configuration has changed, and takes its weights anew if
    so.

    Args:
        model: any of the six classes; it is switched to evaluation mode.
        device: where to run, as :func:`.device.pick_device` takes it; None for the device of the weights.
    """

    def __init__(self, model: FlaxDistilBertPreTrainedModel, device: Any = None) -> None:
        model.eval()
        self.model = model
        self._requested_device = device
        head, dim = model.head_spec, model.config.dim

        def run(graphdef: Any, state: Any, ids: Array, mask: Array, rows: Array) -> Array:
            """Compute (R, L) at ``rows`` (R,) of the flattened (B * S) rectangle; of all sequences if it pools."""
            merged: Any = nnx.merge(graphdef, state)
            output = merged.base_model(ids, mask, output_attentions=False, output_hidden_states=False, return_dict=True)
            if pools_mean(head, merged.config):
                return merged.head(mean_of_tokens(output.last_hidden_state, mask))
            hidden = output.last_hidden_state.reshape(-1, dim)[rows]  # (R, D)
            return merged.head(hidden) if head.name else hidden

        self._run = jax.jit(run, static_argnums=0)
        self._take_weights()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the model alone; compiled functions are made anew."""
        return type(self), (self.model, self._requested_device)

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model."""
        return self.model.config

    @property
    def head(self) -> Head:
        """Head of the model."""
        return self.model.head_spec

    @property
    def device(self) -> jax.Device:
        """The device that it runs on; the first one of several."""
        weight: Array = jax.tree.leaves(nnx.filter_state(self._state, nnx.Param))[0]
        return min(weight.devices(), key=lambda device: device.id)

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model; see :class:`distilbert.core.runner_protocol.Runner`.

        Raises:
            InputError: an id outside the vocabulary, a sequence that is too long, or an empty one to classify.
        """
        check_batch(batch, self.config, self.head)
        rows = batch.rows if self.head.per_token else batch.offsets[:-1]
        tokens = np.arange(batch.input_ids.size) if rows is None else rows
        padded, mask = self._pad(batch)
        positions = np.flatnonzero(mask)[tokens]  # (R,) of the requested tokens in the flattened rectangle
        fill = np.zeros(round_up(len(positions)) - len(positions), positions.dtype)
        if not self._snapshot.is_current() or call_options(self.config) != self._options:
            self._take_weights()
        outputs = self._run(
            self._graphdef, self._state, padded, mask, np.concatenate([positions, fill]).astype(np.int32)
        )
        return name_outputs(self.head, np.asarray(outputs)[: len(positions)].astype(np.float32))  # (R, L)

    def _take_weights(self) -> None:
        """Keep the weights that the model has now, in evaluation mode, whichever mode the model is in."""
        self._snapshot, self._options = ModelSnapshot(self.model), call_options(self.config)
        twin: Any = nnx.merge(*nnx.split(self.model))
        twin.eval()
        self._graphdef, state = nnx.split(twin)
        device = self._requested_device
        self._state = state if device is None else jax.device_put(state, pick_device(device))

    def _pad(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return int32 ids and mask (B, S), padded to the next shape that is compiled."""
        ids, mask = batch.padded(self.config.pad_token_id or 0)
        check_length(self.config, ids.shape[1])
        length = min(round_up(ids.shape[1]), self.config.max_position_embeddings)
        padding = ((0, round_up(len(ids)) - len(ids)), (0, length - ids.shape[1]))
        ids = np.pad(ids, padding, constant_values=self.config.pad_token_id or 0)
        return ids.astype(np.int32), np.pad(mask, padding).astype(np.int32)


def round_up(number: int) -> int:
    """Return the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few values, each at most half as much again."""
    power = 1
    while power < number:
        if power >= 2 and number <= power + power // 2:
            return power + power // 2
        power *= 2
    return power
