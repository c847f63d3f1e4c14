"""From logits to scores, and the highest of them. Legend: L labels or other classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SHARPNESS = 20.0  # of cosines before a softmax, as models of sentences are trained
FEW = 32  # numbers up to which Python takes less time than NumPy's calls, which also let other threads in between


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float32; same shape."""
    with np.errstate(over="ignore"):  # a logit that is so far below the largest has the probability 0
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The probability that each logit stands for on its own; same shape. Written with tanh, which cannot overflow."""
    result: np.ndarray = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return result


def softmax_of_few(logits: Sequence[float]) -> list[float]:
    """:func:`softmax` of some floats."""
    top = max(logits)
    shifted = [math.exp(logit - top) for logit in logits]
    total = sum(shifted)
    return [each / total for each in shifted]


def sigmoid_of_few(logits: Sequence[float]) -> list[float]:
    """:func:`sigmoid` of some floats."""
    return [0.5 + 0.5 * math.tanh(0.5 * logit) for logit in logits]


def largest(scores: np.ndarray | list[float], k: int) -> list[int]:
    """Indices of the ``k`` largest of ``scores`` (L,), in descending order; of equal scores the lower index first."""
    if isinstance(scores, list):
        if k == 1:
            return [scores.index(max(scores))]
        return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:k]
    if k == 1:
        return [int(scores.argmax())]
    if k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero(scores >= least)
    else:
        candidates = np.arange(len(scores))
    return [int(i) for i in candidates[np.argsort(-scores[candidates], kind="stable")][:k]]
