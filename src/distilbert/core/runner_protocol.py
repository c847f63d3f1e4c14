"""The border between tasks and frameworks: packed token ids in, NumPy arrays out.

Legend: T tokens of all sequences of a batch together, B sequences, R rows asked for, D dim, V vocabulary, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import index
from typing import Protocol, runtime_checkable

import numpy as np

from .config import DistilBertConfig
from .errors import InputError
from .schema import Head


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end, without padding.

    Attributes:
        input_ids: (T,) int64 ids.
        offsets: (B + 1,) int64; sequence ``b`` is ``input_ids[offsets[b]:offsets[b + 1]]``.
        rows: (R,) int64 sorted indices into ``input_ids``, the tokens that a per-token head answers for; None: all.

    Other integer types, lists and arrays with a stride are converted.

    Raises:
        InputError: an array is not one of integers in one dimension, or the numbers do not go together.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        ids, offsets = _integers("input_ids", self.input_ids), _integers("offsets", self.offsets)
        object.__setattr__(self, "input_ids", ids)
        object.__setattr__(self, "offsets", offsets)
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(ids) or (offsets[1:] < offsets[:-1]).any():
            raise InputError(
                f"offsets must rise from 0 to the number of tokens, {len(ids)}, got {_shorten(offsets)}; Batch.of() "
                "makes them from a list of sequences."
            )
        if self.rows is not None:
            rows = _integers("rows", self.rows)
            object.__setattr__(self, "rows", rows)
            if len(rows) and (rows[0] < 0 or rows[-1] >= len(ids) or (rows[1:] < rows[:-1]).any()):
                raise InputError(
                    f"rows must be sorted indices from 0 to {len(ids) - 1} of the packed tokens, got {_shorten(rows)}."
                )

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], rows: Sequence[Sequence[int]] | None = None) -> Batch:
        """Pack ``sequences`` of ids; ``rows[b]`` are the positions in sequence ``b`` that answers are wanted for.

        Raises:
            InputError: an id is no integer, or ``rows`` has other sequences than ``sequences``, or other positions.
        """
        try:
            lengths = [len(sequence) for sequence in sequences]
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            ids = np.fromiter(map(index, chain.from_iterable(sequences)), dtype=np.int64, count=int(offsets[-1]))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"A batch is made of sequences of token ids, such as [[101, 7592, 102]], got {sequences!r:.80}. "
                "For texts there is pipeline()."
            ) from error
        if rows is None:
            return cls(ids, offsets)
        if len(rows) != len(sequences):
            raise InputError(f"rows has positions of {len(rows)} sequences, and there are {len(sequences)}.")
        for number, (length, positions) in enumerate(zip(lengths, rows, strict=True)):
            if positions and not 0 <= min(positions) <= max(positions) < length:
                raise InputError(
                    f"rows[{number}] must be positions from 0 to {length - 1}, got {list(positions)!r:.80}."
                )
        picked = [offset + row for offset, positions in zip(offsets, rows, strict=False) for row in sorted(positions)]
        return cls(ids, offsets, np.asarray(picked, dtype=np.int64))

    @property
    def lengths(self) -> np.ndarray:
        """(B,) tokens a sequence."""
        return np.diff(self.offsets)

    def padded(self, pad_token_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``input_ids`` and ``attention_mask``, both (B, longest), for a framework that wants rectangles."""
        lengths = self.lengths
        mask = np.arange(lengths.max(initial=0))[None, :] < lengths[:, None]
        ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
        ids[mask] = self.input_ids
        return ids, mask.astype(np.int64)


class Runner(Protocol):
    """Anything that computes a model's outputs for a packed batch, whatever framework, device or precision it uses.

    ``__call__`` returns float32 arrays by name: ``logits`` (B, L), (B, 1) for multiple choice, (R, L) or (R, V) for
    tokens; ``start_logits`` and ``end_logits`` (R,); ``last_hidden_state`` (R, D) of a bare encoder.
    """

    @property
    def config(self) -> DistilBertConfig:
        """Configuration of the model that runs."""

    @property
    def head(self) -> Head:
        """Its head."""

    def __call__(self, batch: Batch) -> dict[str, np.ndarray]:
        """Run the model on ``batch``."""


@runtime_checkable
class AsynchronousRunner(Runner, Protocol):
    """A runner whose device computes while the host goes on, such as a GPU."""

    @property
    def batch_tokens(self) -> int:
        """Tokens of a batch that keep the device busy; the default of a task's ``batch_tokens``."""

    def submit(self, batch: Batch) -> Callable[[], dict[str, np.ndarray]]:
        """Start to run the model on ``batch``; the function that is returned waits for the outputs.

        Batches are computed in the order in which they are submitted.
        """


def check_batch(batch: Batch, config: DistilBertConfig, head: Head) -> None:
    """Check that a model can run ``batch``.

    Raises:
        InputError: it is something else, holds an id outside the vocabulary, or an empty sequence to classify.
    """
    if not isinstance(batch, Batch):
        raise InputError(f"A runner takes a Batch, such as Batch.of([[101, 7592, 102]]), got {batch!r:.80}.")
    ids = batch.input_ids
    if ids.size and (ids.min() < 0 or ids.max() >= config.vocab_size):
        raise InputError(
            f"Token ids run from {ids.min()} to {ids.max()}; this model takes 0 to {config.vocab_size - 1}. "
            "Do the tokenizer and the model belong together?"
        )
    if not head.per_token and not batch.lengths.all():
        raise InputError("A sequence without tokens cannot be classified.")


def pools_mean(head: Head, config: DistilBertConfig) -> bool:
    """Say whether the head reads the mean of a sequence's tokens, and not tokens of its own."""
    return head.name == "ForSequenceClassification" and config.classifier_pooling == "mean"


def read_rows(batch: Batch, head: Head, config: DistilBertConfig) -> np.ndarray | None:
    """Return the tokens (R,) of a batch whose last hidden states the head reads; None: all of them."""
    if pools_mean(head, config):
        return None
    return batch.rows if head.per_token else batch.offsets[:-1]


def _integers(name: str, values: object) -> np.ndarray:
    """Return the integers of a batch as (N,) int64, one after the other in memory."""
    array = np.asarray(values)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or not array.size):
        raise InputError(f"{name} must be integers in one dimension, got {array.dtype} of shape {array.shape}.")
    return np.ascontiguousarray(array, dtype=np.int64)


def _shorten(numbers: np.ndarray) -> str:
    return np.array2string(numbers, threshold=8, edgeitems=3)


def name_outputs(head: Head, answers: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a head (or the bare encoder) answered, (R, L), by the names of :class:`Runner`."""
    if not head.name:
        return {"last_hidden_state": answers}
    if head.name == "ForQuestionAnswering":
        return {"start_logits": answers[:, 0], "end_logits": answers[:, 1]}
    return {"logits": answers}
