"""The batches of fine-tuning: which examples a step takes, laid end to end without padding, and what they teach.

Legend: U units of a pass, B sequences, T tokens, R tokens with labels, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.examples import Unit
from ...text.tokenizer_base import TokenizerBase
from ..corpus.keyed_random import ORDER, Draws
from ..corpus.masking import IGNORED, mask_tokens
from ..corpus.text_batches import Pass, Step
from .finetune_config import FinetuneConfig


@dataclass(frozen=True)
class Masking:
    """What masking the texts of fill-mask needs: the tokenizer, and the weight of each id for being selected."""

    tokenizer: TokenizerBase
    weights: np.ndarray  # (V,)

    def __call__(self, ids: np.ndarray, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return masked ids (S,) and labels (S,) of one sequence; ``number`` names the draw."""
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
    """Units in an order drawn anew each epoch; see :class:`~distilbert.training.corpus.text_batches.Batches`.

    A step's units are sorted by length, so that sequences of one length can share an attention call, and cut into
    passes of about ``micro_tokens`` tokens, at least one a process.

    Args:
        config: batch size, seed, task.
        units: what is drawn.
        class_weights: (L,) weight of each label; None for all alike.
        wise: what the teacher says of each unit; None without a teacher, or where it is asked during training.
        masking: for fill-mask.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        units: Sequence[Unit],
        *,
        class_weights: np.ndarray | None = None,
        wise: Sequence[np.ndarray] | None = None,
        masking: Masking | None = None,
    ) -> None:
        self.config, self.units, self._wise, self._masking = config, units, wise, masking
        self._class_weights = class_weights
        self._sizes = np.array([sum(map(len, unit.sequences)) for unit in units])
        known = (unit.target for unit in units if unit.target is not None)
        self._blank = np.zeros_like(next(known, np.zeros((), np.int64)))  # stands for the label of an unlabelled unit
        self._order = (-1, np.zeros(0, np.int64))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the units; the last one may be smaller."""
        return -(-len(self.units) // self.config.batch_size)

    def steps(self) -> int:
        """Return the number of steps that the settings ask for."""
        return self.config.max_steps or max(1, round(self.config.epochs * self.steps_per_epoch))

    def step(self, number: int, process: int, processes: int) -> Step:
        """See :class:`~distilbert.training.corpus.text_batches.Batches`."""
        epoch, within = divmod(number, self.steps_per_epoch)
        size = self.config.batch_size
        drawn = self._epoch(epoch)[within * size : (within + 1) * size]
        drawn = drawn[np.argsort(self._sizes[drawn], kind="stable")]
        tokens = int(self._sizes[drawn].sum())
        passes, counts = [], {"weight": 0.0, "taught": 0.0}
        for index, part in enumerate(self._parts(drawn, tokens, processes)):
            if index % processes == process:
                arrays = self._arrays(part, epoch)
                counts["weight"] += float(arrays["weights"].sum())
                counts["taught"] += float(arrays["taught"].sum())
                passes.append(Pass(index, arrays))
        return Step(passes, counts, tokens, {})

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do: a step depends on its number alone."""

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            self._order = (epoch, Draws(ORDER, self.config.seed).number(epoch).permutation(len(self.units)))
        return self._order[1]

    def _parts(self, drawn: np.ndarray, tokens: int, processes: int) -> list[np.ndarray]:
        """Cut sorted units into parts of about equal numbers of tokens; an empty one for each process left over."""
        wanted = max(-(-tokens // self.config.micro_tokens), processes)
        sizes = self._sizes[drawn]
        middles = np.cumsum(sizes) - sizes / 2
        part = (middles * wanted / tokens).astype(np.int64)
        parts = np.split(drawn, np.flatnonzero(np.diff(part)) + 1)
        return parts + [drawn[:0]] * (processes - len(parts))

    def _arrays(self, part: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        """Return the arguments of the objective; an empty part is a unit that counts for nothing."""
        empty = not len(part)
        units = [self.units[index] for index in (part if not empty else [0])]
        arrays = self._text(units, part, epoch) if self._masking else self._labelled(units)
        if self._wise is not None:
            arrays["wise"] = np.concatenate([self._wise[index] for index in (part if not empty else [0])])
        if empty and self._masking:
            for name in ("rows", "labels", "weights", "taught"):
                arrays[name] = arrays[name][:0]
        elif empty:
            arrays["weights"], arrays["taught"] = arrays["weights"] * 0, arrays["taught"] * 0
        return arrays

    def _labelled(self, units: list[Unit]) -> dict[str, np.ndarray]:
        sequences = [sequence for unit in units for sequence in unit.sequences]
        arrays = _packed(sequences)
        task = self.config.task
        if task == "token-classification":
            rows = [labelled_rows(unit) for unit in units]
            arrays["rows"] = np.concatenate([row + start for row, start in zip(rows, _starts(sequences), strict=True)])
            labels = [
                np.full(len(row), IGNORED, np.int64) if unit.target is None else unit.target[row]
                for unit, row in zip(units, rows, strict=True)
            ]
            arrays["labels"] = np.concatenate(labels)
            known = arrays["labels"] != IGNORED
        else:
            arrays["labels"] = np.stack([self._blank if unit.target is None else unit.target for unit in units])
            known = np.array([unit.target is not None for unit in units])
        if task == "multiple-choice":
            arrays["sizes"] = np.array([len(unit.sequences) for unit in units])
        weights = known.astype(np.float32)
        if self._class_weights is not None:
            weights = weights * self._weights_of(arrays["labels"])
        return arrays | {"weights": weights, "taught": np.ones(len(known), np.float32)}

    def _weights_of(self, labels: np.ndarray) -> np.ndarray:
        """Weight of each row of labels; of several labels, the mean of theirs."""
        assert self._class_weights is not None
        if labels.ndim == 2:
            chosen = labels.sum(axis=1)
            means = labels @ self._class_weights / np.maximum(chosen, 1)
            return np.where(chosen > 0, means, 1.0).astype(np.float32)
        return self._class_weights[np.maximum(labels, 0)].astype(np.float32)

    def _text(self, units: list[Unit], part: np.ndarray, epoch: int) -> dict[str, np.ndarray]:
        assert self._masking is not None
        first = epoch * len(self.units)
        numbers = part if len(part) else np.zeros(1, np.int64)
        masked = [
            self._masking(unit.sequences[0], self.config.seed, first + int(number))
            for unit, number in zip(units, numbers, strict=True)
        ]
        arrays = _packed([ids for ids, _ in masked])
        labels = np.concatenate([label for _, label in masked])
        arrays["rows"] = np.flatnonzero(labels != IGNORED)
        arrays["labels"] = labels[arrays["rows"]]
        ones = np.ones(len(arrays["rows"]), np.float32)
        return arrays | {"weights": ones, "taught": ones}


def labelled_rows(unit: Unit) -> np.ndarray:
    """Return the tokens (R,) that tags are learned for: those with a label; without labels all but the ends."""
    if unit.target is None:
        return np.arange(1, len(unit.sequences[0]) - 1)
    return np.flatnonzero(unit.target != IGNORED)


def _packed(sequences: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {
        "input_ids": np.concatenate(sequences).astype(np.int64),
        "lengths": np.array([len(sequence) for sequence in sequences], np.int64),
    }


def _starts(sequences: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])[:-1]])
