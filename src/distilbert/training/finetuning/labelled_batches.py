"""The batches of fine-tuning: which examples a step takes, laid end to end without padding, with labels and weights.

Shapes: B sequences, T tokens of all sequences, R rows that get a loss (examples or tokens), L labels, V vocabulary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.model_checks import IGNORED
from ...text.tokenizer_base import TokenizerBase
from ..corpus.keyed_random import ORDER, KeyedRandom
from ..corpus.masking import mask_tokens
from ..corpus.text_batches import MicroBatch, Step
from .finetune_config import FinetuneConfig
from .finetune_tasks import EncodedExample, finetune_task


@dataclass(frozen=True)
class SequenceMasking:
    """Masks the texts of fill-mask, given the weight of each id for being selected."""

    tokenizer: TokenizerBase
    weights: np.ndarray  # (V,)

    def __call__(self, ids: np.ndarray, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masked ids (S,) and labels (S,) of a sequence; ``seed`` and ``number`` decide the masks."""
        masked = mask_tokens(
            ids[None],
            self.weights,
            seed=seed,
            first=number,
            mask_token_id=self.tokenizer.mask_token_id,
            vocab_size=len(self.weights),
        )
        return masked.input_ids[0], masked.labels[0]


class LabelledBatches:
    """Examples in a new order each epoch; see :class:`~distilbert.training.corpus.text_batches.Batches`.

    The examples of a step are sorted by length, so that sequences of equal length can share an attention call, and cut
    into micro-batches of about ``micro_tokens`` tokens, at least one for each process.

    Args:
        config: batch size, seed, task.
        examples: all examples, in order.
        class_weights: (L,) weight of each label; None for equal weights.
        teacher_scores: the teacher's scores of each example; None without a teacher, and for fill-mask, where the
            teacher computes them during training.
        teacher_weights: 1 for the rows of each example that the teacher scored, else 0; None: it scored all.
        masking: for fill-mask.

    Attributes:
        inputs: see :class:`~distilbert.training.corpus.text_batches.Batches`.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        examples: Sequence[EncodedExample],
        *,
        class_weights: np.ndarray | None = None,
        teacher_scores: Sequence[np.ndarray] | None = None,
        teacher_weights: Sequence[np.ndarray] | None = None,
        masking: SequenceMasking | None = None,
    ) -> None:
        self.config, self.examples = config, examples
        self._class_weights, self._masking = class_weights, masking
        self._teacher_scores, self._teacher_weights = teacher_scores, teacher_weights
        self._sizes = np.array([example.tokens for example in examples])
        targets = (example.target for example in examples if example.target is not None)
        self._no_target = np.zeros_like(next(targets, np.zeros((), np.int64)))  # of an unlabelled example
        self._order = (-1, np.zeros(0, np.int64))
        self.inputs = {"train_data or unlabelled_data": _hash_of(examples)}

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last one may have fewer examples."""
        return -(-len(self.examples) // self.config.batch_size)

    def steps(self) -> int:
        """Return the number of steps that the settings ask for."""
        return self.config.max_steps or max(1, round(self.config.epochs * self.steps_per_epoch))

    def step(self, number: int, process: int, processes: int) -> Step:
        """See :class:`~distilbert.training.corpus.text_batches.Batches`."""
        epoch, step_of_epoch = divmod(number, self.steps_per_epoch)
        size = self.config.batch_size
        indices = self._order_of(epoch)[step_of_epoch * size : (step_of_epoch + 1) * size]
        indices = indices[np.argsort(self._sizes[indices], kind="stable")]
        tokens = int(self._sizes[indices].sum())
        micro_batches, counts = [], {"label_weight": 0.0, "teacher_rows": 0.0}
        for position, selected in enumerate(self._cut(indices, tokens, processes)):
            if position % processes == process:
                arrays = self._arrays(selected, epoch)
                counts["label_weight"] += float(arrays["label_weights"].sum())
                counts["teacher_rows"] += float(arrays["teacher_mask"].sum())
                micro_batches.append(MicroBatch(position, arrays))
        return Step(micro_batches, counts, tokens, {})

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`~distilbert.training.corpus.text_batches.Batches`; a step depends on nothing but its number."""

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            random = KeyedRandom(ORDER, self.config.seed).generator(epoch)
            self._order = (epoch, random.permutation(len(self.examples)))
        return self._order[1]

    def _cut(self, indices: np.ndarray, tokens: int, processes: int) -> list[np.ndarray]:
        """Cut sorted examples into micro-batches of about equal size; add empty ones up to the number of processes."""
        count = max(-(-tokens // self.config.micro_tokens), processes)
        sizes = self._sizes[indices]
        middles = np.cumsum(sizes) - sizes / 2
        micro_batch = (middles * count / tokens).astype(np.int64)  # of each example
        selections = np.split(indices, np.flatnonzero(np.diff(micro_batch)) + 1)
        return selections + [indices[:0]] * (processes - len(selections))

    def _arrays(self, selected: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        """Return the arguments of the objective; an empty micro-batch is one example with no weight."""
        is_empty = not len(selected)
        indices: list[int] = selected.tolist() if not is_empty else [0]
        examples = [self.examples[index] for index in indices]
        arrays = self._masked(examples, indices, epoch) if self._masking else self._labelled(examples)
        if self._teacher_scores is not None:
            arrays["teacher_scores"] = np.concatenate([self._teacher_scores[index] for index in indices])
        if self._teacher_weights is not None:
            arrays["teacher_mask"] = np.concatenate([self._teacher_weights[index] for index in indices])
        if is_empty and self._masking:
            for name in ("rows", "labels", "label_weights", "teacher_mask"):
                arrays[name] = arrays[name][:0]
        elif is_empty:
            for name in ("label_weights", "teacher_mask"):
                arrays[name] = arrays[name] * 0
        return arrays

    def _labelled(self, examples: list[EncodedExample]) -> dict[str, np.ndarray]:
        sequences = [sequence for example in examples for sequence in example.sequences]
        arrays = _packed(sequences)
        label_arrays, has_label = finetune_task(self.config.task).label_arrays(examples, self._no_target)
        arrays |= label_arrays
        weights = has_label.astype(np.float32)
        if self._class_weights is not None:
            weights = weights * self._weights_of(arrays["labels"])
        return arrays | {"label_weights": weights, "teacher_mask": np.ones(len(has_label), np.float32)}

    def _weights_of(self, labels: np.ndarray) -> np.ndarray:
        """Return the weight of each row: that of its label, or the mean over its labels."""
        assert self._class_weights is not None
        if labels.ndim == 2:
            count = labels.sum(axis=1)
            means = labels @ self._class_weights / np.maximum(count, 1)
            return np.where(count > 0, means, 1.0).astype(np.float32)
        return self._class_weights[np.maximum(labels, 0)].astype(np.float32)

    def _masked(self, examples: list[EncodedExample], indices: list[int], epoch: int) -> dict[str, np.ndarray]:
        assert self._masking is not None
        first = epoch * len(self.examples)
        masked = [
            self._masking(example.sequences[0], self.config.seed, first + index)
            for example, index in zip(examples, indices, strict=True)
        ]
        arrays = _packed([ids for ids, _ in masked])
        labels = np.concatenate([label for _, label in masked])
        arrays["rows"] = np.flatnonzero(labels != IGNORED)
        arrays["labels"] = labels[arrays["rows"]]
        ones = np.ones(len(arrays["rows"]), np.float32)
        return arrays | {"label_weights": ones, "teacher_mask": ones}


def _packed(sequences: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "input_ids": np.concatenate(sequences).astype(np.int64),  # (T,)
        "lengths": np.array([len(sequence) for sequence in sequences], np.int64),  # (B,)
    }


def _hash_of(examples: Sequence[EncodedExample]) -> str:
    """Return a hash of all ids and targets."""
    content = hashlib.blake2b(digest_size=16)
    for example in examples:
        for array in (*example.sequences, example.target):
            content.update(b"-" if array is None else array.tobytes())
        content.update(b".")
    return content.hexdigest()
