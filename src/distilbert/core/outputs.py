"""What models return: plain data that can be read by attribute, by key and, without the ``None``s, as a tuple.

Legend: B batch, C choices, S sequence, D dim, N heads, V vocabulary, L labels. Tensors are those of the framework
that computed them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any


@dataclass(eq=False)
class ModelOutput:
    """Base of all outputs. Iteration and ``len`` see the fields that are not None, as a dictionary would."""

    def keys(self) -> list[str]:
        """Names of the fields that are set."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def values(self) -> list[Any]:
        """Values of the fields that are set."""
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Pairs of name and value of the fields that are set."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a field that is set, else ``default``."""
        value = getattr(self, name, None)
        return default if value is None else value

    def to_tuple(self) -> tuple[Any, ...]:
        """Values of the fields that are set, in order."""
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(f"{type(self).__name__} has no {key!r}; it has {', '.join(self.keys())}")
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in [field.name for field in fields(self)]:
            raise KeyError(f"{type(self).__name__} has no field {key!r}")
        setattr(self, key, value)

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass(eq=False)
class BaseModelOutput(ModelOutput):
    """Hidden states of the encoder.

    Attributes:
        last_hidden_state: (B, S, D).
        hidden_states: n_layers + 1 of (B, S, D), embeddings first, where asked for.
        attentions: n_layers of (B, N, S, S), where asked for; each row sums to 1 before dropout.
    """

    last_hidden_state: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class MaskedLMOutput(ModelOutput):
    """``loss`` scalar where labels were given, ``logits`` (B, S, V); the rest as in :class:`BaseModelOutput`."""

    loss: Any = None
    logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None


@dataclass(eq=False)
class SequenceClassifierOutput(MaskedLMOutput):
    """``loss`` scalar where labels were given, ``logits`` (B, L)."""


@dataclass(eq=False)
class MultipleChoiceModelOutput(MaskedLMOutput):
    """``loss`` scalar where labels were given, ``logits`` (B, C)."""


@dataclass(eq=False)
class TokenClassifierOutput(MaskedLMOutput):
    """``loss`` scalar where labels were given, ``logits`` (B, S, L)."""


@dataclass(eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """``loss`` scalar where positions were given, ``start_logits`` and ``end_logits`` (B, S)."""

    loss: Any = None
    start_logits: Any = None
    end_logits: Any = None
    hidden_states: tuple[Any, ...] | None = None
    attentions: tuple[Any, ...] | None = None
