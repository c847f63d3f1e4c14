"""Calibration: is a model that is 80 % sure right in 80 % of the cases? (arXiv 1706.04599, section 2)

Legend: N predictions, K bins.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

BINS = 15
SCORE_BINS = 20


@dataclass(frozen=True)
class Bin:
    """Predictions with a confidence in (low, high]; the first bin also holds 0.

    Attributes:
        low: lower edge.
        high: upper edge.
        count: number of predictions.
        confidence: their mean confidence; None in an empty bin.
        accuracy: the share of them that is right; None in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Bins of equal width, and the expected calibration error: the mean of |accuracy - confidence| over predictions."""

    error: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"error": self.error, "bins": [asdict(entry) for entry in self.bins]}


def calibration(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare how sure a model was with how often it was right.

    Args:
        confidences: (N,) probabilities of what was predicted.
        right: (N,) bool or 0 and 1.
        bins: number of bins (K).
    """
    confidences = np.clip(confidences.astype(np.float64), 0.0, 1.0)
    bin_index = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)  # (N,)
    counts = np.bincount(bin_index, minlength=bins)  # (K,)
    confidence_sums = np.bincount(bin_index, weights=confidences, minlength=bins)  # (K,)
    right_counts = np.bincount(bin_index, weights=np.asarray(right, np.float64), minlength=bins)  # (K,)
    entries = tuple(
        Bin(
            low=index / bins,
            high=(index + 1) / bins,
            count=int(count),
            confidence=float(confidence_sums[index] / count) if count else None,
            accuracy=float(right_counts[index] / count) if count else None,
        )
        for index, count in enumerate(counts)
    )
    return Calibration(float(np.abs(right_counts - confidence_sums).sum() / max(len(confidences), 1)), entries)


def score_histogram(scores: np.ndarray, right: np.ndarray) -> dict[str, list[int]]:
    """Count right and wrong predictions by their score.

    Args:
        scores: (N,) scores from 0 to 1.
        right: (N,) bool.

    Returns:
        ``right`` and ``wrong``, each with ``SCORE_BINS`` counts of bins of equal width.
    """
    bin_index = np.clip((scores * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)
    return {
        name: np.bincount(bin_index[selected], minlength=SCORE_BINS).tolist()
        for name, selected in (("right", right), ("wrong", ~right))
    }


def confidence_breakdown(confidences: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Return calibration and histogram of (N,) confidences as plain values."""
    return {
        "calibration": calibration(confidences, right).to_dict(),
        "scores": score_histogram(confidences, right),
    }
