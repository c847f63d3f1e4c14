"""Flax behind the runner protocol: packed ids in, NumPy arrays out.

Legend: T packed tokens, R rows asked for, B sequences, S padded length, D dim, L labels or vocabulary.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.model_checks import check_length
from ...core.runner_protocol import Batch, check_batch, name_outputs
from ...core.schema import Head
from .device import pick_device
from .pretrained import FlaxDistilBertPreTrainedModel


class FlaxRunner:
    """Runs a model on packed batches, compiled, in inference mode.

    A compiled function knows one shape, so batches are padded to a few lengths, numbers of sequences and of rows
    (:func:`round_up`), each of which is compiled once.

    The runner keeps the weights that the model had when it was made: one that goes on training needs a new runner to
    be seen.

    Args:
        model: any of the six classes; it is switched to evaluation mode.
        device: where to run, as :func:`.device.pick_device` takes it; None for where the weights are.
    """

    def __init__(self, model: FlaxDistilBertPreTrainedModel, device: Any = None) -> None:
        model.eval()
        self.model = model
        graphdef, state = nnx.split(model)
        self._state = state if device is None else jax.device_put(state, pick_device(device))

        def run(state: Any, ids: Array, mask: Array, rows: Array) -> Array:
            """Compute (R, L) at ``rows`` (R,) of the flattened (B * S) rectangle."""
            merged: Any = nnx.merge(graphdef, state)
            output = merged.base_model(ids, mask, output_attentions=False, output_hidden_states=False, return_dict=True)
            hidden = output.last_hidden_state.reshape(-1, self.config.dim)[rows]  # (R, D)
            return merged.head(hidden) if self.head.name else hidden

        self._run = jax.jit(run)

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
        """Where it runs; the first device of several."""
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
        padded, mask = self._rectangle(batch)
        places = np.flatnonzero(mask)[tokens]  # (R,) where the tokens asked for lie in the rectangle
        fill = np.zeros(round_up(len(places)) - len(places), places.dtype)
        answers = self._run(self._state, padded, mask, np.concatenate([places, fill]).astype(np.int32))
        found = np.asarray(answers)[: len(places)].astype(np.float32)  # (R, L)
        return name_outputs(self.head, found)

    def _rectangle(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask (B, S), both int32 and both larger than the batch where its shape is not a round one."""
        ids, mask = batch.padded(self.config.pad_token_id or 0)
        check_length(self.config, ids.shape[1])
        length = min(round_up(ids.shape[1]), self.config.max_position_embeddings)
        grown = ((0, round_up(len(ids)) - len(ids)), (0, length - ids.shape[1]))
        ids = np.pad(ids, grown, constant_values=self.config.pad_token_id or 0)
        return ids.astype(np.int32), np.pad(mask, grown).astype(np.int32)


def round_up(number: int) -> int:
    """Return the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: few values, at most a half more than was asked for."""
    power = 1
    while power < number:
        if power >= 2 and number <= power + power // 2:
            return power + power // 2
        power *= 2
    return power
