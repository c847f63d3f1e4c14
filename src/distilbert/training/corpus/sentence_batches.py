"""The batches of a run on sentences and passages of a corpus: texts of mixed length, padded within a micro-batch.

A passage is one sentence, a few, or as many as a sequence holds. A text is a passage, or a pair of them in one
sequence, as tasks that compare texts have it. Where passages begin and end, and which are pairs, depends only on the
corpus.

Shapes: N tokens of the corpus, U texts, B texts of a micro-batch, S tokens of the longest of them. A text is a row of
four places among the tokens: start and end of its passage, and of its second passage, which is empty where it has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.errors import ConfigError, DataError
from ...text.tokenizer_base import TokenizerBase
from ..distill_config import DistillConfig
from .epoch_order import EpochOrder
from .packed_sequences import hold_out_sections, mix
from .text_batches import MicroBatch, Step, open_token_cache, warn_of_few_steps
from .token_cache import OnTokenized, TokenCache

SENTENCE_ENDS = (".", "!", "?")
FEWEST_TOKENS = 4  # of a passage; a shorter sentence is read together with the next one
MOST_SENTENCES = (1, 1, 2, 4_096)  # of a passage; a hash of its place chooses one of these
NEAREST = 4  # how many passages away the second one of a pair may be


class SentenceText:
    """Texts of mixed length from a corpus, a new random order every epoch.

    Args:
        config: lengths, seed and held-out part.
        cache: the tokens of the corpus.
        tokenizer: its special ids are used, and those of the signs that end a sentence.

    Attributes:
        inputs: see :class:`.text_batches.Batches`.
        facts: what a report says about the data.

    Raises:
        DataError: there are fewer than two texts to train on, or to hold out.
    """

    def __init__(self, config: DistillConfig, cache: TokenCache, tokenizer: TokenizerBase) -> None:
        self.config, self._tokens = config, cache.tokens
        self._cls, self._sep, self._pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
        in_pairs = config.sequences == "pairs"
        inner, total = config.sequence_length - 2, len(cache.tokens)
        target = max(inner, min(config.held_out * total, config.max_held_out * inner))
        bounds, is_held = hold_out_sections(cache.ends, inner, target)
        sentence_ends = tokenizer.convert_tokens_to_ids(list(SENTENCE_ENDS))
        longest = (inner - 1) // 2 if in_pairs else inner
        spans = passage_spans(cache, bounds[:, 1], [i for i in sentence_ends if i != tokenizer.unk_token_id], longest)
        in_held = is_held[np.searchsorted(bounds[:, 1], spans[:, 0], side="right")]
        arrange = pair_up if in_pairs else alone
        self._training, self._held_out = arrange(spans[~in_held]), arrange(spans[in_held][: config.max_held_out])
        if min(len(self._training), len(self._held_out)) < 2:
            raise DataError(
                f"The corpus is too small: it has {total} tokens in {len(spans)} texts of at most {inner} tokens, of "
                f"which {len(self._training)} are left to train on and {len(self._held_out)} are held out. At least "
                "two of each are needed: give more text."
            )
        self._mean_length = float(inner_lengths(self._training).mean()) + 2
        self._order = EpochOrder(len(self._training), config.seed)
        self.inputs = {"data": cache.content}
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
        texts = self._training[self._order.numbers(number * self.texts_per_step, self.texts_per_step)]
        groups = split_by_length(texts, self.micro_batches_per_step)
        micro_batches = [self._micro_batch(index, groups[index]) for index in range(process, len(groups), processes)]
        counts: dict[str, float] = {"tokens": 0.0, "texts": 0.0, "pairs": 0.0}
        for micro_batch in micro_batches:
            mask = micro_batch.arrays["attention_mask"]
            counts["tokens"] += float(mask.sum())
            counts["texts"] += len(mask)
            counts["pairs"] += len(mask) * (len(mask) - 1)
        tokens = int(inner_lengths(texts).sum()) + 2 * len(texts)
        return Step(micro_batches, counts, tokens, {})

    def held_out(self, process: int, processes: int) -> list[MicroBatch]:
        """Return the held-out micro-batches of a process."""
        texts = self._held_out
        tokens = int(inner_lengths(texts).sum()) + 2 * len(texts)
        count = min(max(1, -(-tokens // self.config.micro_tokens)), len(texts) // 2)
        groups = split_by_length(texts, count)
        return [self._micro_batch(index, groups[index]) for index in range(process, len(groups), processes)]

    def restore(self, state: dict[str, Any]) -> None:
        """See :class:`.text_batches.Batches`; a step depends on nothing but its number."""

    def _micro_batch(self, number: int, texts: np.ndarray) -> MicroBatch:
        lengths = inner_lengths(texts) + 2
        ids = np.full((len(texts), int(lengths.max())), self._pad, np.int64)  # (B, S)
        mask = np.arange(ids.shape[1]) < lengths[:, None]  # (B, S)
        for row, (start, end, second_start, second_end) in enumerate(texts):
            ids[row, 1 : end - start + 1] = self._tokens[start:end]
            if second_end > second_start:
                ids[row, end - start + 1] = self._sep
                ids[row, end - start + 2 : lengths[row] - 1] = self._tokens[second_start:second_end]
        ids[:, 0] = self._cls
        ids[np.arange(len(texts)), lengths - 1] = self._sep
        return MicroBatch(number, {"input_ids": ids, "attention_mask": mask.astype(np.int64)})


def passage_spans(cache: TokenCache, section_ends: np.ndarray, sentence_end_ids: list[int], longest: int) -> np.ndarray:
    """Divide a corpus into passages of one sentence, two, or as many as fit, each within a section of a document.

    Args:
        cache: the corpus.
        section_ends: (sections,) where no passage goes on.
        sentence_end_ids: ids of the signs that end a sentence.
        longest: most tokens of a passage; a longer sentence is cut.

    Returns:
        (U, 2) start and end of each passage among the tokens. The ``[SEP]`` that ends a document is in none of them.
    """
    is_end, is_sep, ends_section = (np.zeros(len(cache.tokens), bool) for _ in range(3))
    is_sep[cache.ends - 1] = True
    ends_section[section_ends - 1] = True
    is_end[:] = ends_section | np.isin(cache.tokens, sentence_end_ids)
    ends = np.flatnonzero(is_end) + 1  # of sentences
    most_sentences = np.array(MOST_SENTENCES)[mix(ends.astype(np.uint64)) % np.uint64(len(MOST_SENTENCES))]
    content_ends = ends - is_sep[ends - 1]
    spans: list[tuple[int, int]] = []
    start = previous = sentences = most = 0  # of the passage that is being gathered; where its last sentence ended
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


def alone(spans: np.ndarray) -> np.ndarray:
    """Return passages (U, 2) as texts of one passage each (U, 4)."""
    return np.concatenate([spans, np.zeros_like(spans)], axis=1)


def pair_up(spans: np.ndarray) -> np.ndarray:
    """Return passages as texts, of which half have a second passage: one from near the first, or a part of it.

    Texts near each other are about the same, but share few words; a part shares all of its words with the whole, as
    texts that say the same share many.

    Args:
        spans: (U, 2) passages, in the order of the corpus.

    Returns:
        (U, 4) texts. Which passages are paired, with which, and which of both comes first, follows from hashes of their
        places.
    """
    numbers, sizes = np.arange(len(spans)), spans[:, 1] - spans[:, 0]
    draw = mix(spans[:, 0].astype(np.uint64))
    kind, is_turned, distance = draw % 4, draw >> np.uint64(2) & np.uint64(1), draw >> np.uint64(3)
    near = (numbers + 1 + (distance % NEAREST).astype(np.int64)) % max(len(spans), 1)
    half = sizes // 2
    start = spans[:, 0] + (distance % (half + 1).astype(np.uint64)).astype(np.int64)
    part = np.stack([start, start + half], axis=1)
    second = np.where((kind == 0)[:, None], spans[near], np.where((kind == 1)[:, None], part, 0))
    turned = ((is_turned == 1) & (kind < 2))[:, None]
    return np.concatenate([np.where(turned, second, spans), np.where(turned, spans, second)], axis=1)


def inner_lengths(texts: np.ndarray) -> np.ndarray:
    """Return how many tokens (U,) each text (U, 4) has between ``[CLS]`` and its last ``[SEP]``."""
    first, second = texts[:, 1] - texts[:, 0], texts[:, 3] - texts[:, 2]
    return np.asarray(first + second + (second > 0))


def split_by_length(texts: np.ndarray, count: int) -> list[np.ndarray]:
    """Sort texts by length and divide them into ``count`` groups of about as many tokens, each of at least two texts.

    Args:
        texts: (U, 4); U is at least ``2 * count``.
        count: number of groups.
    """
    lengths = inner_lengths(texts)
    order = np.argsort(lengths, kind="stable")
    sums = np.cumsum(lengths[order] + 2)
    cuts = np.searchsorted(sums, sums[-1] * np.arange(1, count) / count)
    for index in range(len(cuts)):  # two texts before each cut, and two for each group that follows
        least = (cuts[index - 1] if index else 0) + 2
        cuts[index] = min(max(cuts[index], least), len(texts) - 2 * (count - 1 - index))
    return [texts[group] for group in np.split(order, cuts)]


def open_sentences(
    config: DistillConfig, tokenizer: TokenizerBase, on_tokenized: OnTokenized | None = None
) -> SentenceText:
    """Open the text that ``config.data`` names as passages or pairs of them; arguments and errors of ``open_text``."""
    return SentenceText(config, open_token_cache(config, tokenizer, on_tokenized), tokenizer)
