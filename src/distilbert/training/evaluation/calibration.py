"""Calibration: whether a model that is 80 % sure is right in 80 % of the cases (arXiv 1706.04599, section 2).

Legend: N predictions, K bins.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15


@dataclass(frozen=True)
class Bin:
    """Predictions with a confidence in (low, high]; the first bin holds 0, too.

    Attributes:
        low: lower edge.
        high: upper edge.
        count: how many predictions.
        confidence: their mean confidence; None where there is none.
        accuracy: the share of them that is right; None where there is none.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Bins of equal width, and the expected calibration error: the mean of |accuracy - confidence|, by their counts."""

    error: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"error": self.error, "bins": [asdict(one) for one in self.bins]}


def calibration(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare how sure a model was with how often it was right.

    Args:
        confidences: (N,) probabilities of what was predicted.
        right: (N,) bool or 0 and 1.
        bins: number of bins (K).
    """
    confidences = np.clip(confidences.astype(np.float64), 0.0, 1.0)
    place = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)  # (N,)
    counts = np.bincount(place, minlength=bins)  # (K,)
    sure = np.bincount(place, weights=confidences, minlength=bins)  # (K,)
    hits = np.bincount(place, weights=np.asarray(right, np.float64), minlength=bins)  # (K,)
    made = tuple(
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            count=int(count),
            confidence=float(sure[number] / count) if count else None,
            accuracy=float(hits[number] / count) if count else None,
        )
        for number, count in enumerate(counts)
    )
    return Calibration(float(np.abs(hits - sure).sum() / max(len(confidences), 1)), made)
