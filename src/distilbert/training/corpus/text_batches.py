"""The batches of a run on plain text: the sequences of each step, their masks, and which process computes which.

A step is divided into micro-batches in a way that depends only on its number. Of W processes, process r computes the
micro-batches r, r + W, ... So a run gives the same numbers on any number of processes, and a resume needs only the
step.

Shapes: B sequences of a micro-batch, S tokens of a sequence, V vocabulary.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...core.counted import counted
from ...core.errors import ConfigError
from ...core.model_checks import IGNORED
from ...text.tokenizer_base import TokenizerBase
from ..distill_config import TextConfig
from .masking import mask_tokens, token_weights
from .packed_sequences import PackedSequences, split_corpus
from .streamed_sequences import StreamedSequences
from .token_cache import OnTokenized, TokenCache, tokenize_corpus

logger = logging.getLogger("distilbert")

FEW_STEPS = 100
HELD_OUT_SEED = 0  # the same masks in every run, so that perplexities are comparable


@dataclass(frozen=True)
class MicroBatch:
    """The input of one forward pass.

    Attributes:
        number: of the micro-batch within the step, over all processes.
        arrays: arguments of the objective; of plain text (B, S) each.
    """

    number: int
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """The share of one process in an optimizer step.

    Attributes:
        micro_batches: of this process; never empty.
        counts: what the objective divides its sums by, added up over these micro-batches.
        tokens: of the whole step, over all processes.
        state: position in the data after the step, as JSON values.
    """

    micro_batches: list[MicroBatch]
    counts: dict[str, float]
    tokens: int
    state: dict[str, Any]


class Batches(Protocol):
    """Where the training loop gets its steps from.

    Attributes:
        inputs: a hash of the data in their order, by the name of their setting.
    """

    inputs: dict[str, str]

    def step(self, number: int, process: int, processes: int) -> Step:
        """Return the share of a process in step ``number`` (from 0); called in ascending order."""

    def restore(self, state: dict[str, Any]) -> None:
        """Return to the position that :attr:`Step.state` describes."""


class MaskedText:
    """Packed text with new masks at every step.

    Args:
        config: lengths, masks and seed.
        training: sequences to train on.
        held_out: sequences that are never trained on.
        counts: (V,) how often each id occurs.
        tokenizer: its special ids are used.
        facts: what a report says about the data.
        content: hash of the text in its order.

    Attributes:
        inputs: see :class:`Batches`.
    """

    def __init__(
        self,
        config: TextConfig,
        training: PackedSequences | StreamedSequences,
        held_out: PackedSequences,
        counts: np.ndarray,
        tokenizer: TokenizerBase,
        facts: dict[str, Any],
        content: str,
    ) -> None:
        self.config, self.training, self.facts = config, training, facts
        self._held_out = held_out
        self._weights = token_weights(counts, tokenizer.all_special_ids, config.mask_smoothing)
        self._mask_token_id, self._vocab_size = tokenizer.mask_token_id, len(counts)
        self.inputs = {"data": content}

    @property
    def micro_batches_per_step(self) -> int:
        """Micro-batches of a step, over all processes."""
        return -(-self.config.sequences_per_step // self.config.sequences_per_pass)

    def steps(self) -> int:
        """Return the number of steps that the settings ask for."""
        if self.config.max_steps:
            return self.config.max_steps
        assert isinstance(self.training, PackedSequences)
        steps = max(1, round(self.config.epochs * len(self.training) / self.config.sequences_per_step))
        warn_of_few_steps(steps, self.config.epochs, len(self.training), self.config.sequences_per_step)
        return steps

    def check(self, processes: int) -> None:
        """Raise :class:`ConfigError` if a step has fewer micro-batches than there are processes."""
        count = self.micro_batches_per_step
        if processes > count:
            most = self.config.tokens_per_step // processes
            raise ConfigError(
                f"A step has {counted(count, 'pass', 'passes')} for {processes} processes: raise "
                f"tokens_per_step or lower micro_tokens to at most {most}."
            )

    def step(self, number: int, process: int, processes: int) -> Step:
        """See :class:`Batches`. :meth:`check` has made sure that every process has a micro-batch."""
        size, sequences = self.config.sequences_per_step, self.config.sequences_per_pass
        first = number * size
        ids = self.training.take(first, size)
        micro_batches = [
            self._micro_batch(
                index,
                ids[index * sequences : (index + 1) * sequences],
                self.config.seed,
                first + index * sequences,
            )
            for index in range(process, self.micro_batches_per_step, processes)
        ]
        labels = [micro_batch.arrays["labels"] for micro_batch in micro_batches]
        counts: dict[str, float] = {
            "tokens": sum(array.size for array in labels),
            "masked": sum(map(count_masked, labels)),
            "texts": sum(map(len, labels)),
            "pairs": sum(len(array) * (len(array) - 1) for array in labels),
        }
        position = self.training.state() if isinstance(self.training, StreamedSequences) else {}
        return Step(micro_batches, counts, ids.size, {"position": position})

    def held_out(self, process: int, processes: int) -> list[MicroBatch]:
        """Return the held-out micro-batches of a process; their masks are the same in every run."""
        sequences, count = self.config.sequences_per_pass, len(self._held_out)
        return [
            self._micro_batch(index, self._held_out.take(start, min(sequences, count - start)), HELD_OUT_SEED, start)
            for index, start in enumerate(range(0, count, sequences))
            if index % processes == process
        ]

    def check_held_out_pairs(self) -> None:
        """Raise :class:`ConfigError` if no pass holds two held-out sequences, whose vectors could be compared."""
        if self.config.sequences_per_pass < 2:
            raise ConfigError(
                f"micro_tokens must be at least {2 * self.config.sequence_length}, two sequences, as the vectors of "
                f"held-out texts are compared in pairs; got {self.config.micro_tokens}."
            )
        if len(self._held_out) < 2:
            raise ConfigError(
                "Only one sequence is held out, and the vectors of held-out texts are compared in pairs: raise "
                "held_out or max_held_out, shorten sequence_length, or give more text."
            )

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`Batches`.

        Raises:
            DataError: the files of a stream are not those of the run to resume.
        """
        if isinstance(self.training, StreamedSequences):
            self.training.restore(state.get("position", state))  # earlier versions wrote the position alone

    def _micro_batch(self, number: int, ids: np.ndarray, seed: int, first: int) -> MicroBatch:
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
        return MicroBatch(number, {"input_ids": masked.input_ids, "labels": masked.labels})


def warn_of_few_steps(steps: int, epochs: float, sequences: int, per_step: int) -> None:
    """Log a warning if a run has so few steps that it learns little."""
    if steps < FEW_STEPS:
        logger.warning(
            "%g epochs of %d sequences make %d step%s of %d: a lower tokens_per_step learns more from them.",
            epochs,
            sequences,
            steps,
            "" if steps == 1 else "s",
            per_step,
        )


def count_masked(labels: np.ndarray) -> int:
    """Return how many labels are to be predicted."""
    return int((labels != IGNORED).sum())


def open_text(config: TextConfig, tokenizer: TokenizerBase, on_tokenized: OnTokenized | None = None) -> MaskedText:
    """Open the text that ``config.data`` names; tokenize it first unless its token cache exists.

    Args:
        config: sources, lengths and held-out part.
        tokenizer: the model's.
        on_tokenized: called with the documents and tokens so far.

    Raises:
        DataError: a source cannot be read, or there is too little text.
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
            encoding=config.encoding,
        )
        facts |= {"held_out_sequences": len(stream.held_out)}
        return MaskedText(config, stream, stream.held_out, stream.counts, tokenizer, facts, stream.content)
    cache = open_token_cache(config, tokenizer, on_tokenized)
    split = split_corpus(
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
        "sequences": len(split.training),
        "held_out_sequences": len(split.held_out),
        "left_out_tokens": split.training.left_out + split.held_out.left_out,
        "fingerprint": cache.fingerprint,
    }
    return MaskedText(config, split.training, split.held_out, cache.counts, tokenizer, facts, cache.content)


def open_token_cache(config: TextConfig, tokenizer: TokenizerBase, on_tokenized: OnTokenized | None) -> TokenCache:
    """Return the tokens of the text that ``config.data`` names; tokenize it first unless its token cache exists."""
    return tokenize_corpus(
        config.data,
        tokenizer,
        Path(config.cache or Path(config.output) / "cache"),
        column=config.column,
        encoding=config.encoding,
        on_tokenized=on_tokenized,
    )
