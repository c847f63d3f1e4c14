"""The batches of a run on sentences and passages of a corpus: texts of mixed length, padded within a micro-batch.

A text is one sentence, a few, or as many as a sequence holds. Where texts begin and end depends only on the corpus.

Shapes: N tokens of the corpus, U texts, B texts of a micro-batch, S tokens of the longest of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import ConfigError, DataError
from ...text.tokenizer_base import TokenizerBase
from ..distill_config import TextConfig
from .epoch_order import EpochOrder
from .packed_sequences import hold_out_sections, mix
from .text_batches import MicroBatch, Step, check_same_text, content_hash, open_token_cache, warn_of_few_steps
from .token_cache import OnTokenized, TokenCache

SENTENCE_ENDS = (".", "!", "?")
FEWEST_TOKENS = 4  # of a text; a shorter sentence is read together with the next one
MOST_SENTENCES = (1, 1, 2, 4_096)  # of a text; a hash of its place chooses one of these


class SentenceText:
    """Texts of mixed length from a corpus, a new random order every epoch.

    Args:
        config: lengths, seed and held-out part.
        cache: the tokens of the corpus.
        tokenizer: its special ids are used, and those of the signs that end a sentence.

    Attributes:
        facts: what a report says about the data.

    Raises:
        DataError: there are fewer than two texts to train on, or to hold out.
    """

    def __init__(self, config: TextConfig, cache: TokenCache, tokenizer: TokenizerBase) -> None:
        self.config, self._tokens = config, cache.tokens
        self._cls, self._sep, self._pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
        inner, total = config.sequence_length - 2, len(cache.tokens)
        target = max(inner, min(config.held_out * total, config.max_held_out * inner))
        bounds, is_held = hold_out_sections(cache.ends, inner, target)
        sentence_ends = tokenizer.convert_tokens_to_ids(list(SENTENCE_ENDS))
        spans = text_spans(cache, bounds[:, 1], [i for i in sentence_ends if i != tokenizer.unk_token_id], inner)
        in_held = is_held[np.searchsorted(bounds[:, 1], spans[:, 0], side="right")]
        self._training, self._held_out = spans[~in_held], spans[in_held][: config.max_held_out]
        if min(len(self._training), len(self._held_out)) < 2:
            raise DataError(
                f"The corpus is too small: it has {total} tokens in {len(spans)} texts of at most {inner} tokens, of "
                f"which {len(self._training)} are left to train on and {len(self._held_out)} are held out. At least "
                "two of each are needed: give more text."
            )
        sizes = self._training[:, 1] - self._training[:, 0]
        self._mean_length = float(sizes.mean()) + 2
        self._order = EpochOrder(len(self._training), config.seed)
        self._content_hash = content_hash(cache.counts)
        self.facts: dict[str, Any] = {
            "sources": config.data,
            "sequence_length": config.sequence_length,
            "mean_sequence_length": round(self._mean_length, 1),
            "tokens": total,
            "documents": len(cache.ends),
            "sequences": len(self._training),
            "held_out_sequences": len(self._held_out),
            "fingerprint": cache.fingerprint,
        }

    @property
    def texts_per_step(self) -> int:
        """Texts of a step, over all processes."""
        return max(2 * self.micro_batches_per_step, round(self.config.tokens_per_step / self._mean_length))

    @property
    def micro_batches_per_step(self) -> int:
        """Micro-batches of a step, over all processes."""
        return -(-self.config.tokens_per_step // self.config.micro_tokens)

    def steps(self) -> int:
        """Return the number of steps that the settings ask for."""
        config = self.config
        if config.max_steps:
            return config.max_steps
        steps = max(1, round(config.epochs * len(self._training) / self.texts_per_step))
        warn_of_few_steps(steps, config.epochs, len(self._training), self.texts_per_step)
        return steps

    def check(self, processes: int) -> None:
        """Raise :class:`ConfigError` if a step has fewer micro-batches than there are processes."""
        if processes > self.micro_batches_per_step:
            raise ConfigError(
                f"A step has {self.micro_batches_per_step} micro-batches for {processes} processes: raise "
                f"tokens_per_step or lower micro_tokens to at most {self.config.tokens_per_step // processes}."
            )

    def step(self, number: int, process: int, processes: int) -> Step:
        """See :class:`.text_batches.Batches`. :meth:`check` has made sure that every process has a micro-batch."""
        spans = self._training[self._order.numbers(number * self.texts_per_step, self.texts_per_step)]
        groups = split_by_length(spans, self.micro_batches_per_step)
        micro_batches = [self._micro_batch(index, groups[index]) for index in range(process, len(groups), processes)]
        counts: dict[str, float] = {"tokens": 0.0, "texts": 0.0, "pairs": 0.0}
        for micro_batch in micro_batches:
            mask = micro_batch.arrays["attention_mask"]
            counts["tokens"] += float(mask.sum())
            counts["texts"] += len(mask)
            counts["pairs"] += len(mask) * (len(mask) - 1)
        tokens = int((spans[:, 1] - spans[:, 0]).sum()) + 2 * len(spans)
        return Step(micro_batches, counts, tokens, {"content": self._content_hash, "position": {}})

    def held_out(self, process: int, processes: int) -> list[MicroBatch]:
        """Return the held-out micro-batches of a process."""
        spans = self._held_out
        tokens = int((spans[:, 1] - spans[:, 0]).sum()) + 2 * len(spans)
        count = min(max(1, -(-tokens // self.config.micro_tokens)), len(spans) // 2)
        groups = split_by_length(spans, count)
        return [self._micro_batch(index, groups[index]) for index in range(process, len(groups), processes)]

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`.text_batches.Batches`.

        Raises:
            DataError: the text is not that of the run to resume.
        """
        check_same_text(state, self._content_hash)

    def _micro_batch(self, number: int, spans: np.ndarray) -> MicroBatch:
        lengths = spans[:, 1] - spans[:, 0]
        ids = np.full((len(spans), int(lengths.max()) + 2), self._pad, np.int64)  # (B, S)
        mask = np.arange(ids.shape[1]) < (lengths + 2)[:, None]  # (B, S)
        for row, (start, end) in enumerate(spans):
            ids[row, 1 : end - start + 1] = self._tokens[start:end]
        ids[:, 0] = self._cls
        ids[np.arange(len(spans)), lengths + 1] = self._sep
        return MicroBatch(number, {"input_ids": ids, "attention_mask": mask.astype(np.int64)})


def text_spans(cache: TokenCache, section_ends: np.ndarray, sentence_end_ids: list[int], longest: int) -> np.ndarray:
    """Divide a corpus into texts of one sentence, of two, or of as many as fit, each within a section of a document.

    Args:
        cache: the corpus.
        section_ends: (sections,) where no text goes on.
        sentence_end_ids: ids of the signs that end a sentence.
        longest: most tokens of a text; a longer sentence is cut.

    Returns:
        (U, 2) start and end of each text among the tokens. The ``[SEP]`` that ends a document is in none of them.
    """
    is_end, is_sep, ends_section = (np.zeros(len(cache.tokens), bool) for _ in range(3))
    is_sep[cache.ends - 1] = True
    ends_section[section_ends - 1] = True
    is_end[:] = ends_section | np.isin(cache.tokens, sentence_end_ids)
    ends = np.flatnonzero(is_end) + 1  # of sentences
    most_sentences = np.array(MOST_SENTENCES)[mix(ends.astype(np.uint64)) % np.uint64(len(MOST_SENTENCES))]
    content_ends = ends - is_sep[ends - 1]
    spans: list[tuple[int, int]] = []
    start = previous = sentences = most = 0  # of the text that is being gathered; where its last sentence ended
    for end, content_end, most_here, section_is_over in zip(
        ends.tolist(), content_ends.tolist(), most_sentences.tolist(), ends_section[ends - 1].tolist(), strict=True
    ):
        if sentences and content_end - start > longest and previous - start >= FEWEST_TOKENS:
            spans.append((start, previous))
            start, sentences = previous, 0
        if not sentences:
            most = most_here
        while content_end - start > longest:
            spans.append((start, start + longest))
            start += longest
        previous, sentences = content_end, sentences + 1
        is_long_enough = content_end - start >= FEWEST_TOKENS
        if is_long_enough and (section_is_over or sentences >= most):
            spans.append((start, content_end))
        if section_is_over or (is_long_enough and sentences >= most):
            start, sentences = end, 0
    return np.array(spans, np.int64).reshape(-1, 2)


def split_by_length(spans: np.ndarray, count: int) -> list[np.ndarray]:
    """Sort texts by length and divide them into ``count`` groups of about as many tokens, each of at least two texts.

    Args:
        spans: (U, 2); U is at least ``2 * count``.
        count: number of groups.
    """
    lengths = spans[:, 1] - spans[:, 0]
    order = np.argsort(lengths, kind="stable")
    sums = np.cumsum(lengths[order] + 2)
    cuts = np.searchsorted(sums, sums[-1] * np.arange(1, count) / count)
    for index in range(len(cuts)):  # two texts before each cut, and two for each group that follows
        least = (cuts[index - 1] if index else 0) + 2
        cuts[index] = min(max(cuts[index], least), len(spans) - 2 * (count - 1 - index))
    return [spans[group] for group in np.split(order, cuts)]


def open_sentences(
    config: TextConfig, tokenizer: TokenizerBase, on_tokenized: OnTokenized | None = None
) -> SentenceText:
    """Open the text that ``config.data`` names as sentences and passages; arguments and errors of ``open_text``."""
    return SentenceText(config, open_token_cache(config, tokenizer, on_tokenized), tokenizer)
