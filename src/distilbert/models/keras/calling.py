"""What happens around ``call``: a dictionary as first argument, and checks whose errors name the cause.

Legend: B batch, C choices, S sequence, D dim, N heads.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError, InputError, reject_unknown
from ..pretrained_mixin import PreTrainedMixin
from .arrays import concrete
from .attention import check_mask

ARGUMENTS = (
    "input_ids", "attention_mask", "head_mask", "inputs_embeds", "position_ids", "token_type_ids", "labels",
    "start_positions", "end_positions", "output_attentions", "output_hidden_states", "return_dict",
)  # fmt: skip
LABELS = ("labels", "start_positions", "end_positions")
Shape = tuple[int | None, ...]

# What surrounds a call: another call of this room ("call"), predict(), or export().
_around: ContextVar[str | None] = ContextVar("around", default=None)


@contextmanager
def around(what: str) -> Iterator[None]:
    """Mark the calls in this context."""
    token = _around.set(what)
    try:
        yield
    finally:
        _around.reset(token)


class CheckedModel(PreTrainedMixin, keras.Model):
    """A model that takes its inputs by position, by name, or as one dictionary, and checks them."""

    config: DistilBertConfig

    def __init__(self, config: DistilBertConfig, *, name: str | None = None, dtype: Any = None, trainable: bool = True):
        if not isinstance(config, DistilBertConfig):
            raise ConfigError(f"{type(self).__name__} takes a DistilBertConfig, got a {type(config).__name__}.")
        # Labels must not be rounded to the type that the layers compute in, so only the layers cast.
        super().__init__(name=name, dtype=dtype, trainable=trainable, autocast=False)
        self.config = config

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Check the arguments and run ``call``; ``return_dict=False`` gives a tuple.

        Raises:
            InputError: the input cannot be used; the message says why.
            UnknownArgumentError: an argument that ``call`` does not take; the message names the nearest.
        """
        surroundings = _around.get()
        arguments = self._prepare(args, kwargs)
        return_dict = arguments.pop("return_dict", None)
        with around("call"):
            output = super().__call__(**arguments)
        if surroundings == "export":
            return dict(output.items())
        if return_dict is None:
            return_dict = self.config.return_dict or surroundings is not None
        return output if return_dict else output.to_tuple()

    def stateless_call(
        self, trainable_variables: Any, non_trainable_variables: Any, *args: Any, return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Run ``call`` on given weights, as :meth:`keras.Model.stateless_call` does; the JAX backend trains by it."""
        arguments = self._prepare(args, kwargs)
        arguments.pop("return_dict", None)
        with around("call"):
            return super().stateless_call(
                trainable_variables, non_trainable_variables, return_losses=return_losses, **arguments
            )

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, checked."""
        arguments = self._bind(args, kwargs)
        if _around.get() == "predict":
            arguments = {name: value for name, value in arguments.items() if name not in LABELS}
        shapes = {name: _shape(value) for name, value in arguments.items() if hasattr(value, "shape")}
        check_shapes(self.config, self._flat_shapes(shapes))
        if _around.get() is None:
            check_values(self.config, arguments)
        return arguments

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Name the arguments, unpack a dictionary, and turn lists into arrays; those that are None are left out."""
        names = [name for name in inspect.signature(type(self).call).parameters if name != "self"]
        values: dict[str, Any] = {}
        if args and isinstance(args[0], Mapping):
            values, args = dict(args[0]), (None, *args[1:])
        if len(args) > len(names):
            raise InputError(f"{type(self).__name__} takes {len(names)} arguments, {len(args)} were given by position.")
        for given in (dict(zip(names, args, strict=False)), kwargs):
            for name, value in given.items():
                if value is not None and values.get(name) is not None:
                    raise InputError(f"{name} was given twice.")
                values[name] = value if value is not None else values.get(name)
        unknown = [name for name in values if name not in names and name != "return_dict"]
        known = [name for name in ARGUMENTS if name in names or name == "return_dict"]
        reject_unknown(unknown, known, f"{type(self).__name__}.call")
        for name, value in values.items():
            if isinstance(value, (list, tuple)):
                try:
                    values[name] = np.asarray(value)
                except ValueError:
                    raise InputError(f"{name} must be rectangular: pad its rows to one length.") from None
        return {name: value for name, value in values.items() if value is not None}

    def _flat_shapes(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """Return the shapes as the encoder will see them."""
        return shapes


def check_shapes(config: DistilBertConfig, shapes: Mapping[str, Shape]) -> None:
    """Check what can be known before there are numbers.

    Raises:
        InputError: a shape that cannot work, or a sequence that is too long.
    """
    ids, embeds = shapes.get("input_ids"), shapes.get("inputs_embeds")
    if (ids is None) == (embeds is None):
        raise InputError("Give either input_ids or inputs_embeds, and not both.")
    if ids is not None and len(ids) != 2:
        raise InputError(f"input_ids must be (batch, sequence), got shape {ids}.")
    if embeds is not None and (len(embeds) != 3 or embeds[-1] != config.dim):
        raise InputError(f"inputs_embeds must be (batch, sequence, {config.dim}), got shape {embeds}.")
    source = ids if ids is not None else embeds
    assert source is not None
    batch, length = source[0], source[1]
    if length is not None and length > config.max_position_embeddings:
        raise InputError(
            f"The input has {length} tokens and the model knows {config.max_position_embeddings} positions: tokenize "
            "with truncation=True, or with a stride into windows, or enlarge it with resize_position_embeddings()."
        )
    if "attention_mask" in shapes:
        check_mask(shapes["attention_mask"], batch, length)
    heads = shapes.get("head_mask")
    if heads is not None and (
        heads not in ((config.n_heads,), (config.n_layers, config.n_heads)) or config.pruned_heads
    ):
        raise InputError(
            f"head_mask must be ({config.n_heads},) or ({config.n_layers}, {config.n_heads}) and needs a model without "
            f"pruned heads, got {heads}."
        )


def check_values(config: DistilBertConfig, arguments: Mapping[str, Any]) -> None:
    """Check the numbers, where there are any: a graph that is being traced trusts its input.

    Raises:
        InputError: ids that are no integers or outside the vocabulary, unknown positions, or nonzero token types.
    """
    types = concrete(arguments.get("token_type_ids"))
    if types is not None and types.any():
        raise InputError(
            "token_type_ids holds nonzero ids, and DistilBERT has no token types: it tells two texts apart by the "
            "[SEP] between them. Leave token_type_ids out (return_token_type_ids=False)."
        )
    for name, size in (("input_ids", config.vocab_size), ("position_ids", config.max_position_embeddings)):
        ids = concrete(arguments.get(name))
        if ids is not None and not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"{name} must be integers, got {ids.dtype}.")
        if ids is not None and ids.size and (ids.min() < 0 or ids.max() >= size):
            raise InputError(
                f"{name} holds ids from {int(ids.min())} to {int(ids.max())}; this model takes 0 to {size - 1}. "
                "Do the tokenizer and the model belong together?"
            )


def _shape(value: Any) -> Shape:
    return tuple(None if size is None else int(size) for size in value.shape)
