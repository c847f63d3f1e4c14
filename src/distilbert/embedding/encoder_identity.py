"""Which encoder made the vectors of an index, and whether another one is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ..core.errors import InputError

PROBE = "The quick brown fox jumps over 13 lazy dogs."
LEAST_SIMILARITY = 0.99  # of the same model in bf16 or int8; another pooling or model is far below
RECIPE: dict[str, tuple[type, ...]] = {
    "pooling": (str,),
    "truncation": (bool,),
    "max_length": (int, type(None)),
    "truncate_dim": (int, type(None)),
    "prompts": (dict,),
}
# What a vector of a short text without a prompt does not show. ``"auto"`` may be the same pooling as ``"mean"``.
UNSEEN = ("truncation", "max_length", "prompts")


@dataclass(frozen=True)
class EncoderIdentity:
    """What an index remembers of its encoder.

    Attributes:
        name: its folder or name.
        hash: of the files of its model; empty where that is not known.
        probe: the vector that it gives the entry :data:`PROBE`, (D,), of length 1. It tells whether another encoder is
            the same model, in another place or precision.
        recipe: how it makes vectors, as :attr:`distilbert.Encoder.recipe` says it; empty where that is not known.
        uses_prompts: whether queries have the encoder's prompt for queries, and entries that for documents. An index of
            an earlier version does without them.
    """

    name: str
    hash: str
    probe: tuple[float, ...]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    uses_prompts: bool = True

    @property
    def pooling(self) -> str:
        """How it makes one vector of a text; empty where that is not known."""
        return str(self.recipe.get("pooling", ""))

    @property
    def is_of_model(self) -> bool:
        """Whether the name is that of a model, and not of a function or of another object with ``encode``."""
        return bool(self.hash or self.pooling)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        own = {"name": self.name, "hash": self.hash, "probe": list(self.probe), "uses_prompts": self.uses_prompts}
        return own | dict(self.recipe)

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Return the identity that :meth:`to_json` wrote; None where there is none.

        Raises:
            ValueError: it is none.
        """
        if value is None:
            return None
        name, content_hash, uses_prompts = value["name"], value["hash"], value.get("uses_prompts", False)
        probe = [float(number) for number in value["probe"]]
        recipe = {argument: value[argument] for argument in RECIPE if argument in value}
        fits = all(type(given) in RECIPE[argument] for argument, given in recipe.items())
        texts = [name, content_hash, *recipe.get("prompts", {}).values()] if fits else []
        if (
            not fits
            or not all(isinstance(text, str) for text in texts)
            or type(uses_prompts) is not bool
            or not np.isfinite(probe).all()
        ):
            raise ValueError("its encoder is described by other values than texts, numbers and arguments of an encoder")
        return cls(name, content_hash, tuple(probe), recipe, uses_prompts)

    def check_recipe(self, recipe: Mapping[str, Any]) -> None:
        """Check that another encoder treats texts as this one does, in what its vector of a short text does not show.

        Raises:
            InputError: it treats them otherwise.
        """
        for name in UNSEEN:
            if name in self.recipe and name in recipe and self.recipe[name] != recipe[name]:
                raise InputError(
                    f"The index was made with {name}={self.recipe[name]!r}, and this encoder has "
                    f"{name}={recipe[name]!r}, so it gives other vectors. Search with the encoder of the index, "
                    "or build the index again."
                )

    def similarity_to(self, probe: Sequence[float]) -> float:
        """Return the cosine of the vectors that this and another encoder give :data:`PROBE`; 0 if one is longer."""
        return float(np.dot(self.probe, probe)) if len(self.probe) == len(probe) else 0.0

    def __str__(self) -> str:
        """Describe it in a message."""
        details = [f"pooling {self.pooling}"] if self.pooling else []
        details += [f"{len(self.probe)} numbers a vector"]
        details += [f"hash {self.hash}"] if self.hash else []
        return f"{self.name} ({', '.join(details)})"


def probe_of(vector: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Return a vector at length 1, rounded to what distinguishes models."""
    values = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(values))
    return tuple(round(float(value), 6) for value in (values / norm if norm else values))
