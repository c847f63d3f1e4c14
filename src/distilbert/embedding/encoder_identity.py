"""Which encoder made the vectors of an index, and whether another one is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..core.errors import InputError

PROBE = "The quick brown fox jumps over 13 lazy dogs."
LEAST_SIMILARITY = 0.99  # of the same model in bf16 or int8; another pooling or model is far below


@dataclass(frozen=True)
class EncoderIdentity:
    """What an index remembers of its encoder.

    Attributes:
        name: its folder or name.
        pooling: how it makes one vector of a text; empty where that is not known.
        hash: of the files of its model; empty where that is not known.
        probe: the vector that it gives :data:`PROBE`, (D,), of length 1. It tells whether another encoder is the same
            model, in another place or precision.
    """

    name: str
    pooling: str
    hash: str
    probe: tuple[float, ...]

    @property
    def is_of_model(self) -> bool:
        """Whether the name is that of a model, and not of a function or of another object with ``encode``."""
        return bool(self.hash or self.pooling)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"name": self.name, "pooling": self.pooling, "hash": self.hash, "probe": list(self.probe)}

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Return the identity that :meth:`to_json` wrote; None where there is none.

        Raises:
            ValueError: it is none.
        """
        if value is None:
            return None
        name, pooling, content_hash = texts = [value[key] for key in ("name", "pooling", "hash")]
        probe = [float(number) for number in value["probe"]]
        if not all(isinstance(text, str) for text in texts) or not np.isfinite(probe).all():
            raise ValueError("its encoder is described by other values than texts and numbers")
        return cls(name, pooling, content_hash, tuple(probe))

    def check_is(self, other: EncoderIdentity) -> None:
        """Check that another encoder gives the same vectors as this one.

        Raises:
            InputError: it gives other ones.
        """
        if self.hash and (self.hash, self.pooling) == (other.hash, other.pooling):
            return
        same_size = len(self.probe) == len(other.probe)
        similarity = float(np.dot(self.probe, other.probe)) if same_size else 0.0
        if similarity < LEAST_SIMILARITY:
            raise InputError(
                f"The index was made with {self._described()}, and this is {other._described()}, which gives other "
                f"vectors ({similarity:.2f} similar for a test sentence, {LEAST_SIMILARITY} is needed). Search with "
                "the encoder of the index, or build the index again."
            )

    def _described(self) -> str:
        details = [f"pooling {self.pooling}"] if self.pooling else []
        details += [f"{len(self.probe)} numbers a vector"]
        details += [f"hash {self.hash}"] if self.hash else []
        return f"{self.name} ({', '.join(details)})"


def probe_of(vector: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Return a vector at length 1, rounded to what distinguishes models."""
    values = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(values))
    return tuple(round(float(value), 6) for value in (values / norm if norm else values))
