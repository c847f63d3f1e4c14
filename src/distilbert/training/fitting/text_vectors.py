"""The vectors that the head of a classifier reads: those of a model's own sequences, special tokens included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core.runner_protocol import Batch, Runner
from ...data.examples import TextExample
from ...tasks.batching import BATCH_TOKENS, cut_batches
from ...tasks.finite_outputs import check_finite
from ...tasks.pooling import pool_packed
from ...tasks.windows import split_into_windows, stride_or_default


def text_vectors(
    examples: Sequence[TextExample],
    runner: Runner,
    tokenizer: Any,
    max_tokens: int,
    pooling: str = "mean",
    on_progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Return the vector of each text or pair, (N, D) float32: the mean of its last hidden states, or the first one.

    Texts that are equal are computed once. A text that is longer than the model is read in windows, whose vectors are
    weighted by their tokens.

    Args:
        examples: texts or pairs.
        runner: of a model without a head.
        tokenizer: of the model.
        max_tokens: of the model.
        pooling: ``"mean"`` or ``"cls"``.
        on_progress: called with the number of sequences done, and of all.
    """
    different: dict[tuple[str, str | None], int] = {}
    places = [different.setdefault((each.text, each.text_pair), len(different)) for each in examples]
    texts = [text for pair in different for text in pair if text is not None]
    ids = iter(tokenizer.encode_ids(texts, None, False))
    stride = stride_or_default(None, max_tokens)
    sequences: list[list[int]] = []
    owners: list[int] = []
    for number, (_, second_text) in enumerate(different):
        first, second = next(ids), None if second_text is None else next(ids)
        windows = split_into_windows(tokenizer, first, second, max_tokens=max_tokens, stride=stride)
        sequences += windows
        owners += [number] * len(windows)
    sums = np.zeros((len(different), runner.config.dim), np.float32)
    tokens = np.zeros((len(different), 1), np.float32)
    done = 0
    for numbers in cut_batches([len(sequence) for sequence in sequences], BATCH_TOKENS):
        batch = Batch.of([sequences[number] for number in numbers])
        hidden = check_finite(runner(batch), batch, runner)["last_hidden_state"]
        lengths = batch.lengths[:, None].astype(np.float32)
        rows = [owners[number] for number in numbers]
        np.add.at(sums, rows, pool_packed(hidden, batch.offsets, pooling) * lengths)
        np.add.at(tokens, rows, lengths)
        done += len(numbers)
        if on_progress is not None:
            on_progress(done, len(sequences))
    return (sums / tokens)[places]


def to_unit_scale(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Divide vectors (N, D) by their mean length; return them and that length."""
    scale = float(np.linalg.norm(vectors, axis=1).mean()) or 1.0
    return vectors / np.float32(scale), scale
