"""The batches of a run: which sequences a step takes, how they are masked, and which process computes which of them.

A step is a list of passes (micro-batches) that depends on the step alone; process r of W takes passes r, r + W, ...
So a run gives the same numbers on any number of processes, and a resume needs nothing but the step.

Legend: B sequences of a pass, S sequence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...core.errors import ConfigError
from ...text.tokenizer_base import TokenizerBase
from ..distill_config import TextConfig
from .masking import IGNORED, mask_tokens, token_weights
from .packed_sequences import PackedSequences, split
from .streamed_sequences import StreamedSequences
from .token_cache import tokenize_corpus

logger = logging.getLogger("distilbert")

FEW_STEPS = 100
HELD_OUT_SEED = 0  # the same masks in every run, so that perplexities can be compared


@dataclass(frozen=True)
class Pass:
    """What one forward pass computes.

    Attributes:
        number: of the pass within the step, over all processes.
        arrays: arguments of the objective; of text (B, S) each.
    """

    number: int
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """The passes of one process in one step.

    Attributes:
        passes: never empty.
        counts: what the objective divides by, summed over this process's passes.
        tokens: of the whole step, over all processes.
        state: where the data stand after the step, ready for JSON.
    """

    passes: list[Pass]
    counts: dict[str, float]
    tokens: int
    state: dict[str, Any]


class Batches(Protocol):
    """Where a training loop gets its steps from."""

    def step(self, number: int, process: int, processes: int) -> Step:
        """Return step ``number`` (from 0) for one of the processes; called in order."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where a step left the data."""


class MaskedText:
    """Packed text with masks drawn afresh at every step.

    Args:
        config: lengths, masks and seed.
        training: sequences to train on.
        held_out: sequences that are never trained on.
        counts: (V,) how often each id occurs.
        tokenizer: knows the special ids.
        facts: what a report says about the data.
    """

    def __init__(
        self,
        config: TextConfig,
        training: PackedSequences | StreamedSequences,
        held_out: PackedSequences,
        counts: np.ndarray,
        tokenizer: TokenizerBase,
        facts: dict[str, Any],
    ) -> None:
        self.config, self.training, self.facts = config, training, facts
        self._held_out = held_out
        self._weights = token_weights(counts, tokenizer.all_special_ids, config.mask_smoothing)
        self._mask_token_id, self._vocab_size = tokenizer.mask_token_id, len(counts)

    @property
    def passes(self) -> int:
        """Passes a step, over all processes."""
        return -(-self.config.sequences_per_step // self.config.sequences_per_pass)

    def steps(self) -> int:
        """Return the number of steps that the settings ask for."""
        if self.config.max_steps:
            return self.config.max_steps
        assert isinstance(self.training, PackedSequences)
        steps = max(1, round(self.config.epochs * len(self.training) / self.config.sequences_per_step))
        if steps < FEW_STEPS:
            logger.warning(
                "%g epochs of %d sequences make %d step%s of %d: a lower tokens_per_step learns more from them.",
                self.config.epochs,
                len(self.training),
                steps,
                "" if steps == 1 else "s",
                self.config.sequences_per_step,
            )
        return steps

    def check(self, processes: int) -> None:
        """Raise :class:`ConfigError` where a step has fewer passes than there are processes."""
        if processes > self.passes:
            most = self.config.tokens_per_step // processes
            raise ConfigError(
                f"A step has {self.passes} {'pass' if self.passes == 1 else 'passes'} for {processes} processes: raise "
                f"tokens_per_step or lower micro_tokens to at most {most}."
            )

    def step(self, number: int, process: int, processes: int) -> Step:
        """See :class:`Batches`; there is a pass for each process, which :meth:`check` made sure of."""
        size, each = self.config.sequences_per_step, self.config.sequences_per_pass
        first = number * size
        ids = self.training.take(first, size)
        passes = [
            self._pass(index, ids[index * each : (index + 1) * each], self.config.seed, first + index * each)
            for index in range(process, self.passes, processes)
        ]
        masked = sum(int((one.arrays["labels"] != IGNORED).sum()) for one in passes)
        tokens = sum(one.arrays["labels"].size for one in passes)
        state = self.training.state() if isinstance(self.training, StreamedSequences) else {}
        return Step(passes, {"tokens": tokens, "masked": masked}, ids.size, state)

    def held_out(self, process: int, processes: int) -> list[Pass]:
        """Return the held-out passes of one of the processes; masks are the same in every run."""
        each, count = self.config.sequences_per_pass, len(self._held_out)
        return [
            self._pass(index, self._held_out.take(start, min(each, count - start)), HELD_OUT_SEED, start)
            for index, start in enumerate(range(0, count, each))
            if index % processes == process
        ]

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`Batches`."""
        if isinstance(self.training, StreamedSequences):
            self.training.restore(state)

    def _pass(self, number: int, ids: np.ndarray, seed: int, first: int) -> Pass:
        config = self.config
        masked = mask_tokens(
            ids,
            self._weights,
            seed=seed,
            first=first,
            mask_token_id=self._mask_token_id,
            vocab_size=self._vocab_size,
            probability=config.mask_probability,
            split=(config.mask_split[0], config.mask_split[1], config.mask_split[2]),
        )
        return Pass(number, {"input_ids": masked.input_ids, "labels": masked.labels})


def open_text(
    config: TextConfig, tokenizer: TokenizerBase, progress: Callable[[int, int], None] | None = None
) -> MaskedText:
    """Tokenize, or find tokenized, what ``config.data`` names.

    Args:
        config: sources, lengths and what is held out.
        tokenizer: the model's.
        progress: called with documents and tokens done so far.

    Raises:
        DataError: a source that cannot be read, or too little text.
    """
    length = config.sequence_length
    facts = {"sources": config.data, "sequence_length": length}
    if config.streaming:
        stream = StreamedSequences(
            config.data,
            tokenizer,
            length=length,
            seed=config.seed,
            held_out=config.max_held_out,
            column=config.column,
        )
        facts |= {"held_out_sequences": len(stream.held_out)}
        return MaskedText(config, stream, stream.held_out, stream.counts, tokenizer, facts)
    folder = Path(config.cache or Path(config.output) / "cache")
    cache = tokenize_corpus(config.data, tokenizer, folder, column=config.column, progress=progress)
    parts = split(
        cache,
        length=length,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        seed=config.seed,
        held_out=config.held_out,
        max_held_out=config.max_held_out,
    )
    facts |= {
        "tokens": len(cache.tokens),
        "documents": len(cache.ends),
        "sequences": len(parts.training),
        "held_out_sequences": len(parts.held_out),
        "left_out_tokens": parts.training.left_out + parts.held_out.left_out,
        "fingerprint": cache.fingerprint,
    }
    return MaskedText(config, parts.training, parts.held_out, cache.counts, tokenizer, facts)
