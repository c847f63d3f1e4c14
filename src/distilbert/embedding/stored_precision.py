"""Embeddings in fewer bytes, as sentence-transformers and vector databases store them."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from ..tasks.checks import check_choice

# Our names, and in their place those of sentence-transformers.
PRECISIONS = {
    "fp32": "fp32", "fp16": "fp16", "int8": "int8", "uint8": "uint8", "binary": "binary", "ubinary": "ubinary",
    "float32": "fp32", "float16": "fp16",
}  # fmt: skip


def quantize_embeddings(
    embeddings: np.ndarray,
    precision: str,
    *,
    ranges: np.ndarray | None = None,
    calibration_embeddings: np.ndarray | None = None,
) -> np.ndarray:
    """Return embeddings in fewer bytes.

    Args:
        embeddings: (n, D) or (D,), floats.
        precision: ``"fp32"``, ``"fp16"``; ``"int8"`` or ``"uint8"``: one of 256 steps between the smallest and the
            largest value of each dimension; ``"binary"`` or ``"ubinary"``: a bit for each dimension, whether it is
            above 0, eight in a byte, (n, D / 8). These are the numbers that sentence-transformers gives.
        ranges: (2, D) smallest and largest value of each dimension, for int8. Vectors can be compared with each other
            only if they were made with the same ranges.
        calibration_embeddings: (m, D) to take the ranges from; None: ``embeddings`` themselves.

    Raises:
        InputError: there is no such precision, or ``ranges`` do not fit, or they are needed and one vector has none.
    """
    check_choice(precision, PRECISIONS, "precision")
    precision = PRECISIONS[precision]
    embeddings = np.asarray(embeddings)
    if embeddings.dtype.kind != "f":
        raise InputError(f"Only embeddings of floats can be quantized, got {embeddings.dtype}.")
    if precision in ("fp32", "fp16"):
        return embeddings.astype({"fp32": np.float32, "fp16": np.float16}[precision], copy=False)
    if precision in ("binary", "ubinary"):
        bits = np.packbits(embeddings > 0, axis=-1)
        return bits if precision == "ubinary" else (bits ^ 0x80).view(np.int8)
    if ranges is None:
        ranges = ranges_of(embeddings if calibration_embeddings is None else calibration_embeddings)
    ranges = np.asarray(ranges, dtype=np.float32)
    if ranges.shape != (2, embeddings.shape[-1]):
        raise InputError(
            f"ranges must be of shape (2, {embeddings.shape[-1]}): the smallest and the largest value of each "
            f"dimension, got {ranges.shape}."
        )
    steps = (ranges[1] - ranges[0]) / 255
    scaled = (embeddings - ranges[0]) / np.where(steps == 0, 1, steps)  # 0 to 255 within the ranges
    if precision == "int8":
        scaled = scaled - 128
    limits = np.iinfo(precision)
    result: np.ndarray = np.clip(np.trunc(scaled), limits.min, limits.max).astype(precision)
    return result


def ranges_of(embeddings: np.ndarray) -> np.ndarray:
    """Return the smallest and the largest value of each dimension, (2, D), of embeddings (n, D).

    Raises:
        InputError: there are fewer than two embeddings.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim == 1 or len(embeddings) == 1:
        raise InputError(
            "int8 needs the range of each dimension, and one embedding has none: pass ranges=, those that the other "
            "embeddings were made with (ranges_of(embeddings))."
        )
    if not len(embeddings):
        return np.zeros((2, embeddings.shape[1]), np.float32)
    return np.stack([embeddings.min(axis=0), embeddings.max(axis=0)])
