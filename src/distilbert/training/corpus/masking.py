"""Masking for the masked-LM objective: which tokens are to be predicted, and what replaces them in the input.

Shapes: ``B`` sequences, ``S`` tokens each, ``V`` vocabulary, ``K`` positions selected in a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...core.errors import ConfigError
from ...core.model_checks import IGNORED
from .keyed_random import MASK, KeyedRandom


@dataclass(frozen=True, eq=False)
class MaskedSequences:
    """Sequences with some tokens masked.

    Attributes:
        input_ids: (B, S) int64, input of the model.
        labels: (B, S) int64, the original id where a position was selected, -100 elsewhere.
    """

    input_ids: np.ndarray
    labels: np.ndarray


def token_weights(counts: np.ndarray, special_ids: Iterable[int], smoothing: float = 0.7) -> np.ndarray:
    """Return the weight of each token for being selected; rare tokens have larger weights.

    It is ``max(count, 1) ** -smoothing``, and 0 for special tokens: the smoothing of XLM (arXiv 1901.07291, section
    3.3), which DistilBERT's training code uses.

    Args:
        counts: (V,) how often each id occurs in the corpus.
        special_ids: ids that are never selected.
        smoothing: 0 gives all tokens the same weight.

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
) -> MaskedSequences:
    """Select ``ceil(probability * S)`` positions of each sequence and mask them (BERT, arXiv 1810.04805, section 3.1).

    Positions are drawn without replacement, with probabilities proportional to the weights of their tokens, as by
    ``torch.multinomial``: the K smallest of exponential variables divided by the weights (the Gumbel top-k trick, arXiv
    1903.06059). If fewer than K positions have a positive weight, all of these are selected. Row ``i`` depends only on
    its ids, ``seed`` and ``first + i``, not on how the stream is divided into batches and between processes.

    Args:
        ids: (B, S) integers below V.
        weights: (V,) from ``token_weights``.
        seed: of the run.
        first: position of the first sequence in the stream.
        mask_token_id: id of ``[MASK]``.
        vocab_size: V; random ids are below it.
        probability: share of the positions to select, rounded up.
        split: probabilities that a selected token becomes ``[MASK]``, becomes a random id, or stays.

    Raises:
        ConfigError: ``probability`` or ``split`` is no probability.
    """
    check_masking(probability, split)
    rows, length = ids.shape
    random = KeyedRandom(MASK, seed)
    uniform = np.empty((rows, 3, length))  # (B, 3, S): for the selection, the split and random ids
    for row in range(rows):
        random.generator(first + row).random(out=uniform[row])
    original = ids.astype(np.int64)  # (B, S)
    weight = weights[original]  # (B, S)
    # Dividing an exponential variable of rate 1 by a weight gives one of that rate; the K smallest are selected.
    times = np.full((rows, length), np.inf)
    np.divide(-np.log1p(-uniform[:, 0]), weight, out=times, where=weight > 0)
    count = math.ceil(probability * length - 1e-9)  # 0.07 * 100 is 7.000000000000001 and must give 7
    selected = np.zeros((rows, length), bool)
    if count:
        chosen = np.argpartition(times, count - 1, axis=1)[:, :count]  # (B, K)
        np.put_along_axis(selected, chosen, True, axis=1)
        selected &= weight > 0
    masked = selected & (uniform[:, 1] < split[0])
    replaced = selected & ~masked & (uniform[:, 1] < split[0] + split[1])
    inputs = original.copy()
    inputs[masked] = mask_token_id
    inputs[replaced] = (uniform[:, 2][replaced] * vocab_size).astype(np.int64)
    return MaskedSequences(inputs, np.where(selected, original, IGNORED))


def check_masking(probability: float, split: tuple[float, float, float]) -> None:
    """Raise :class:`ConfigError` unless these are probabilities and ``split`` adds up to 1."""
    if not 0 <= probability <= 1:
        raise ConfigError(f"The masking probability must be between 0 and 1, got {probability}.")
    if len(split) != 3 or min(split) < 0 or not math.isclose(sum(split), 1, abs_tol=1e-6):
        raise ConfigError(
            f"The masking split must be three probabilities that add up to 1, for [MASK], a random id and the token "
            f"itself, such as 0.8, 0.1, 0.1; got {', '.join(map(str, split))}."
        )
