"""Hidden states of the windows of a text to vectors. Legend: W windows, S tokens, D dim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POOLINGS = ("mean", "cls")


def stitch(windows: Sequence[np.ndarray], stride: int) -> np.ndarray:
    """Join windows to the hidden states of the whole text: (S, D) from [CLS] to [SEP].

    Args:
        windows: hidden states (S of the window, D) of each window, its [CLS] and [SEP] included.
        stride: tokens that neighbours share; each comes from the window in which it is farther from the edge.
    """
    last = len(windows) - 1
    skipped, dropped = stride // 2, stride - stride // 2
    parts = []
    for number, window in enumerate(windows):
        start = 1 + skipped if number else 0
        stop = len(window) - 1 - dropped if number < last else len(window)
        parts.append(window[start:stop])
    return np.concatenate(parts)


def pool(windows: Sequence[np.ndarray], pooling: str, stride: int) -> np.ndarray:
    """Return one vector (D,) for a text.

    Args:
        windows: as in :func:`stitch`.
        pooling: ``"mean"`` over all tokens, special ones included, or ``"cls"``, the first token (of each window,
            weighted by its tokens).
        stride: as in :func:`stitch`.
    """
    if pooling == "mean":
        result: np.ndarray = stitch(windows, stride).mean(axis=0)
    else:
        result = np.average([window[0] for window in windows], axis=0, weights=[len(window) for window in windows])
    return result


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (..., D) to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)
    return result
