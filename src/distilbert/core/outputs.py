"""What models return: ordered dictionaries whose values are attributes and positions too.

Legend: B batch, C choices, S sequence, D dim, N heads, V vocabulary, L labels. Tensors are those of the framework
that computed them. Each framework's room registers these classes as pytrees when it is loaded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import suggest

# Outputs of BERT and of other models, and what a DistilBERT has in their place.
ABSENT = {
    "pooler_output": "DistilBERT has no pooler: take the first token, last_hidden_state[:, 0], or a mean over the "
    "attention mask",
    "past_key_values": "DistilBERT is an encoder and keeps no keys and values",
    "cross_attentions": "DistilBERT has no decoder: attentions are those of the encoder",
    "encoder_last_hidden_state": "DistilBERT is an encoder: use last_hidden_state",
    "encoder_hidden_states": "DistilBERT is an encoder: use hidden_states",
    "encoder_attentions": "DistilBERT is an encoder: use attentions",
    "prediction_logits": "use logits of DistilBertForMaskedLM",
    "prediction_scores": "use logits of DistilBertForMaskedLM",
    "seq_relationship_logits": "DistilBERT is not trained to predict the next sentence",
    "last_hidden_state": "a model with a head returns it as hidden_states[-1] with output_hidden_states=True, and its "
    "encoder, model.distilbert, returns it by name",
    "logits": "question answering has start_logits and end_logits, and a model without a head has last_hidden_state",
    "start_logits": "question answering has them, DistilBertForQuestionAnswering",
    "end_logits": "question answering has them, DistilBertForQuestionAnswering",
    "embeddings": "hidden_states[0] is the output of the embeddings, with output_hidden_states=True",
    "loss": "it is there where labels were given",
    "hidden_states": "they are there with output_hidden_states=True",
    "attentions": "they are there with output_attentions=True",
}


@dataclass(eq=False)
class ModelOutput(OrderedDict[str, Any]):
    """Base of all outputs: a dictionary of the fields that are not None, in their order.

    Each value is an attribute too, and ``output[0]`` and ``output[:2]`` read the values as a tuple. A field that is
    None is an attribute alone. The constructor takes the fields by position or name; or, as a dictionary does, one
    mapping or one iterable of pairs, by which PyTorch and accelerate make a new output out of an old one.
    """

    def __post_init__(self) -> None:
        # All fields stand in the dictionary already: setting an attribute sets the item of that name.
        first = next(iter(self.__dataclass_fields__), None)
        if first is not None and list(self) == [first]:
            items = _as_items(self[first])
            if items is not None:
                del self[first]
                self.update(items)

    def to_tuple(self) -> tuple[Any, ...]:
        """Values of the fields that are set, in order."""
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self:
                raise KeyError(self._absent(key))
            return super().__getitem__(key)
        values = self.to_tuple()
        if isinstance(key, int) and not -len(values) <= key < len(values):
            raise IndexError(f"{type(self).__name__} has no value {key}; it has {self._described()}.")
        return values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value and the attribute of its name; None takes it out of the dictionary.

        Fields stay in their order, and values under other names stand behind them.

        Raises:
            KeyError: there is no such field, but one whose name is nearly the same.
        """
        names = self.__dataclass_fields__
        if key not in names and suggest(key, names):
            raise KeyError(f"{type(self).__name__} has no field {key!r}.{suggest(key, names)}")
        object.__setattr__(self, key, value)
        if value is None:
            super().pop(key, None)
            return
        is_new = key not in self
        super().__setitem__(key, value)
        if is_new and key in names:
            order = list(names)
            for later in [*order[order.index(key) + 1 :], *(name for name in self if name not in names)]:
                if later in self:
                    self.move_to_end(later)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(self._absent(key))
        super().__delitem__(key)
        self._forget(key)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dataclass_fields__ or name in self:
            self[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Called only where there is no such attribute.
        raise AttributeError(self._absent(name))

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a value and return it; its field becomes None."""
        if key not in self and default:
            return default[0]
        value = self[key]
        del self[key]
        return value

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        """Remove the last pair, or the first one, and return it; its field becomes None."""
        key, value = super().popitem(last)
        self._forget(key)
        return key, value

    def clear(self) -> None:
        """Remove all values; all fields become None."""
        for key in list(self):
            del self[key]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def _forget(self, key: str) -> None:
        if key in self.__dataclass_fields__:
            object.__setattr__(self, key, None)
        else:
            object.__delattr__(self, key)

    def _absent(self, name: str) -> str:
        advice = f"; {ABSENT[name]}" if name in ABSENT else ""
        return f"{type(self).__name__} has no {name!r}{advice}. It has {self._described()}."

    def _described(self) -> str:
        return ", ".join(self) or "no values"


def _as_items(value: Any) -> dict[str, Any] | None:
    """Return the pairs of a mapping or of an iterable of pairs; None for anything else, such as a tensor."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterator):
        value = list(value)
    pairs = isinstance(value, (list, tuple)) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )
    return dict(value) if pairs else None


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
