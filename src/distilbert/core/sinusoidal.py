"""The fixed position embeddings of a model with ``sinusoidal_pos_embds``, the same numbers in every framework."""

from __future__ import annotations

import numpy as np


def sinusoidal_positions(positions: int, dim: int) -> np.ndarray:
    """Return (P, D) float32 positions: sines in even columns, cosines in odd ones (arXiv 1706.03762, section 3.5)."""
    columns = np.arange(dim)
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (columns // 2) / dim)[None, :]  # (P, D) radians
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)
