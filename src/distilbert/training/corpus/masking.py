"""Masking: which tokens are guessed, and what stands in their place, drawn afresh for every sequence of the stream.

Shapes: ``B`` sequences, ``S`` tokens each, ``V`` vocabulary, ``K`` positions selected in a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...core.errors import ConfigError
from .keyed_random import MASK, Draws

IGNORED = -100  # the label of a position that is not guessed


@dataclass(frozen=True, eq=False)
class Masked:
    """Sequences with some positions hidden.

    Attributes:
        input_ids: (B, S) int64, what the model sees.
        labels: (B, S) int64, the true id where a position was selected, -100 elsewhere.
    """

    input_ids: np.ndarray
    labels: np.ndarray


def token_weights(counts: np.ndarray, special_ids: Iterable[int], smoothing: float = 0.7) -> np.ndarray:
    """Weight with which a position is selected, by its token: rare tokens more often than their share.

    ``max(count, 1) ** -smoothing``, and 0 for special tokens: the smoothing of XLM (arXiv 1901.07291, section 3.3),
    which the reference of DistilBERT uses.

    Args:
        counts: (V,) how often each id occurs in the corpus.
        special_ids: ids that are never selected.
        smoothing: 0 selects all positions alike.

    Returns:
        (V,) float64.
    """
    weights: np.ndarray = np.maximum(counts, 1).astype(np.float64) ** -smoothing  # (V,)
    weights[list(special_ids)] = 0.0
    return weights


def mask_tokens(
    ids: np.ndarray,
    weights: np.ndarray,
    *,
    seed: int,
    first: int,
    mask_token_id: int,
    vocab_size: int,
    probability: float = 0.15,
    split: tuple[float, float, float] = (0.8, 0.1, 0.1),
) -> Masked:
    """Select ``ceil(probability * S)`` positions of each sequence and hide them (BERT, arXiv 1810.04805, section 3.1).

    Positions are drawn without replacement, each time with probability proportional to the weight of their token
    among those that are left: the K smallest of exponential variables divided by the weights (the Gumbel top-k trick,
    arXiv 1903.06059), which is what ``torch.multinomial`` draws. Where a sequence has fewer positions of positive
    weight, all of them are selected. Row ``i`` depends on its ids, on ``seed`` and on ``first + i`` alone, however
    the stream is cut into batches and shared between processes.

    Args:
        ids: (B, S) integers below V.
        weights: (V,) from ``token_weights``.
        seed: of the run.
        first: position in the stream of the first sequence.
        mask_token_id: id of ``[MASK]``.
        vocab_size: random ids are drawn from 0 to ``vocab_size - 1``.
        probability: share of the positions to select, rounded up.
        split: probabilities that a selected position becomes ``[MASK]``, a random id, or stays as it is.

    Raises:
        ConfigError: ``probability`` or ``split`` is no probability.
    """
    check_masking(probability, split)
    rows, length = ids.shape
    draws = Draws(MASK, seed)
    uniform = np.empty((rows, 3, length))  # (B, 3, S): selection, kind, random id
    for row in range(rows):
        draws.number(first + row).random(out=uniform[row])
    true = ids.astype(np.int64)  # (B, S)
    weight = weights[true]  # (B, S)
    # An exponential variable with rate 1, divided by a weight, has that rate: the first to come are the selected ones.
    times = np.full((rows, length), np.inf)
    np.divide(-np.log1p(-uniform[:, 0]), weight, out=times, where=weight > 0)
    wanted = math.ceil(probability * length - 1e-9)  # 0.07 * 100 is 7, not 7.000000000000001
    selected = np.zeros((rows, length), bool)
    if wanted:
        chosen = np.argpartition(times, wanted - 1, axis=1)[:, :wanted]  # (B, K)
        np.put_along_axis(selected, chosen, True, axis=1)
        selected &= weight > 0
    hidden = selected & (uniform[:, 1] < split[0])
    replaced = selected & ~hidden & (uniform[:, 1] < split[0] + split[1])
    inputs = true.copy()
    inputs[hidden] = mask_token_id
    inputs[replaced] = (uniform[:, 2][replaced] * vocab_size).astype(np.int64)
    return Masked(inputs, np.where(selected, true, IGNORED))


def check_masking(probability: float, split: tuple[float, float, float]) -> None:
    """Raise :class:`ConfigError` unless these are probabilities, and those of ``split`` add up to 1."""
    if not 0 <= probability <= 1:
        raise ConfigError(f"The masking probability must be between 0 and 1, got {probability}.")
    if len(split) != 3 or min(split) < 0 or not math.isclose(sum(split), 1, abs_tol=1e-6):
        raise ConfigError(
            f"The masking split must be three probabilities that add up to 1, for [MASK], a random id and the token "
            f"itself, such as 0.8, 0.1, 0.1; got {', '.join(map(str, split))}."
        )
