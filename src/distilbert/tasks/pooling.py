"""From the hidden states of a text's windows to vectors. Legend: S tokens, D dim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

AUTO = "auto"  # what the folder of the model describes
SMALLEST_LENGTH = 1e-15  # of a vector whose squares still fit into float32
POOLINGS = ("mean", "cls", "max", "mean_sqrt_len", "weightedmean", "lasttoken")


def join_windows(windows: Sequence[np.ndarray], stride: int) -> np.ndarray:
    """Return the hidden states (S, D) of the whole text, from [CLS] to [SEP].

    Args:
        windows: hidden states of each window, (tokens of the window, D), its [CLS] and [SEP] included.
        stride: tokens that two windows share. The first half of them is taken from the earlier window and the second
            from the later one, so that each comes from where it is farther from the edge.
    """
    last = len(windows) - 1
    skipped_at_start, skipped_at_end = stride // 2, stride - stride // 2
    kept = []
    for number, window in enumerate(windows):
        start = 1 + skipped_at_start if number else 0
        stop = len(window) - 1 - skipped_at_end if number < last else len(window)
        kept.append(window[start:stop])
    return np.concatenate(kept)


def pool(windows: Sequence[np.ndarray], pooling: str, stride: int) -> np.ndarray:
    """Return one vector (D,) for a text.

    Args:
        windows: as in :func:`join_windows`.
        pooling: one of ``POOLINGS``. ``"cls"`` is the first token; of several windows, the mean of their first tokens,
            weighted by the lengths of the windows. The others go over all tokens, special ones included: ``"mean"``,
            ``"max"``, ``"mean_sqrt_len"`` (the sum, divided by the root of the number of tokens), ``"weightedmean"``
            (the n-th token counts n times) and ``"lasttoken"``.
        stride: as in :func:`join_windows`.
    """
    with np.errstate(over="ignore"):
        result = _pool(windows, pooling, stride)
    if not np.isfinite(result).all():  # the sum does not fit into float32
        result = _pool([window.astype(np.float64) for window in windows], pooling, stride)
    return result


def _pool(windows: Sequence[np.ndarray], pooling: str, stride: int) -> np.ndarray:
    result: np.ndarray
    if pooling == "cls":
        firsts = [window[0] for window in windows]
        result = np.average(firsts, axis=0, weights=[len(window) for window in windows])
        return result
    states = join_windows(windows, stride)
    if pooling == "max":
        result = states.max(axis=0)
    elif pooling == "lasttoken":
        result = states[-1]
    elif pooling == "mean_sqrt_len":
        result = states.sum(axis=0) / np.sqrt(len(states))
    elif pooling == "weightedmean":
        result = np.average(states, axis=0, weights=np.arange(1, len(states) + 1))
    else:
        result = states.mean(axis=0)
    return result


def pool_packed(hidden: np.ndarray, offsets: np.ndarray, pooling: str) -> np.ndarray:
    """Return the vectors (B, D) of B texts of one window each, all at once; :func:`pool` is the plain twin.

    Args:
        hidden: (T, D) hidden states of all tokens, one text after the other.
        offsets: (B + 1,) where each text begins, and T. No text is empty.
        pooling: one of ``POOLINGS``.
    """
    with np.errstate(over="ignore"):
        result = _pool_packed(hidden, offsets, pooling)
    if not np.isfinite(result).all():  # the sum does not fit into float32
        result = _pool_packed(hidden.astype(np.float64), offsets, pooling)
    return result


def _pool_packed(hidden: np.ndarray, offsets: np.ndarray, pooling: str) -> np.ndarray:
    starts, lengths = offsets[:-1], np.diff(offsets)[:, None].astype(hidden.dtype)  # (B,), (B, 1)
    result: np.ndarray
    if pooling == "cls":
        result = hidden[starts]
    elif pooling == "lasttoken":
        result = hidden[offsets[1:] - 1]
    elif pooling == "max":
        result = np.maximum.reduceat(hidden, starts, axis=0)
    elif pooling == "weightedmean":
        places = np.arange(len(hidden)) - np.repeat(starts, np.diff(offsets)) + 1  # (T,)
        sums = np.add.reduceat(hidden * places[:, None].astype(hidden.dtype), starts, axis=0)
        result = sums / (lengths * (lengths + 1) / 2)
    else:
        sums = np.add.reduceat(hidden, starts, axis=0)
        result = sums / (np.sqrt(lengths) if pooling == "mean_sqrt_len" else lengths)
    return result


def normalize(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (..., D) to length 1; zeros stay zeros."""
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    is_float32 = vectors.dtype == np.float32
    fits = (lengths > (SMALLEST_LENGTH if is_float32 else 0)) & np.isfinite(lengths)
    result: np.ndarray = vectors / np.where(fits, lengths, 1)
    if is_float32 and not fits.all():  # squares of numbers that large or small do not fit
        result = np.where(fits, result, normalize(vectors.astype(np.float64)).astype(np.float32))
    return result
