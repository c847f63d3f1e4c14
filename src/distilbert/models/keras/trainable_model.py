"""DistilBERT as a Keras model: what happens around ``call``, and in ``compile``, ``fit``, ``predict`` and ``export``.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError, InputError, reject_unknown
from ...core.model_checks import (
    CALL_ARGUMENTS,
    Shape,
    check_attention_mask,
    check_head_mask,
    check_ids,
    check_inputs,
    refuse_token_types,
)
from ...core.outputs import ModelOutput
from ..pretrained_mixin import PreTrainedMixin
from .arrays import concrete

LABELS = ("labels", "start_positions", "end_positions")

# The method that is running around a call: another model's "call", "predict" or "export".
_outer_method: ContextVar[str | None] = ContextVar("outer_method", default=None)


@contextmanager
def inside(method: str) -> Iterator[None]:
    """Tell the calls in this context that they are made by ``method``."""
    token = _outer_method.set(method)
    try:
        yield
    finally:
        _outer_method.reset(token)


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
        """Check the arguments and run ``call``; with ``return_dict=False`` the output is a tuple.

        Raises:
            InputError: the input cannot be used; the message says why.
            UnknownArgumentError: an argument that ``call`` does not take; the message names the nearest.
        """
        outer_method = _outer_method.get()
        arguments = self._prepare(args, kwargs)
        return_dict = arguments.pop("return_dict", None)
        with inside("call"):
            output = super().__call__(**arguments)
        if outer_method == "export":
            return dict(output.items())
        if return_dict is None:
            return_dict = self.config.return_dict or outer_method is not None
        return output if return_dict else output.to_tuple()

    def stateless_call(
        self, trainable_variables: Any, non_trainable_variables: Any, *args: Any, return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Run ``call`` on given weights, as :meth:`keras.Model.stateless_call` does; the JAX backend trains by it."""
        arguments = self._prepare(args, kwargs)
        arguments.pop("return_dict", None)
        with inside("call"):
            return super().stateless_call(
                trainable_variables, non_trainable_variables, return_losses=return_losses, **arguments
            )

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, after checking them."""
        arguments = self._bind(args, kwargs)
        if _outer_method.get() == "predict":
            arguments = {name: value for name, value in arguments.items() if name not in LABELS}
        shapes = {name: _shape(value) for name, value in arguments.items() if hasattr(value, "shape")}
        check_shapes(self.config, self._flat_shapes(shapes))
        if _outer_method.get() is None:
            check_values(self.config, arguments)
        return arguments

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name: a dictionary unpacked, lists as arrays, and those that are None left out."""
        names = [name for name in inspect.signature(type(self).call).parameters if name != "self"]
        values: dict[str, Any] = {}
        if args and isinstance(args[0], Mapping):
            values, args = dict(args[0]), (None, *args[1:])
        if len(args) > len(names):
            raise InputError(f"{type(self).__name__} takes {len(names)} arguments, {len(args)} were given by position.")
        for named in (dict(zip(names, args, strict=False)), kwargs):
            for name, value in named.items():
                if value is not None and values.get(name) is not None:
                    raise InputError(f"{name} was given twice.")
                values[name] = value if value is not None else values.get(name)
        unknown = [name for name in values if name not in names and name != "return_dict"]
        known = [name for name in CALL_ARGUMENTS if name in names or name == "return_dict"]
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


class TrainableModel(CheckedModel):
    """A model with a loss of its own.

    Compiled without a loss, it computes that of its head; the labels are among the inputs or given as ``y``. A loss of
    Keras gets the logits; for question answering these are a pair, start and end.
    """

    label_names: ClassVar[tuple[str, ...]] = ()

    def head_loss(self, output: Any, *labels: Any) -> Any:
        """Return the loss of an output; labels come in the order of ``label_names``."""
        raise InputError(f"{type(self).__name__} has no loss of its own: compile(loss=...) one.")

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as :meth:`keras.Model.fit` does; ``x`` may be the output of a tokenizer with labels added to it."""
        return super().fit(_as_dictionary(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Measure the loss and the metrics, as :meth:`keras.Model.evaluate` does."""
        return super().evaluate(_as_dictionary(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the output for all of ``x`` as NumPy arrays; labels in ``x`` are ignored."""
        with inside("predict"):
            return super().predict(_as_dictionary(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the output for one batch as NumPy arrays; labels in it are ignored."""
        with inside("predict"):
            return super().predict_on_batch(_as_dictionary(x))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss that ``fit`` minimizes: the compiled one, else that of the head.

        Raises:
            InputError: there are no labels, or sample weights for the loss of the head.
        """
        if self._compile_loss is not None:
            labels = _one_or_list(self._labels(x, y))
            return super().compute_loss(x, labels, _predictions(y_pred), sample_weight, training)
        if sample_weight is not None:
            raise InputError("The built-in loss takes no sample_weight: compile(loss=...) one of Keras's, which do.")
        loss = y_pred.get("loss")
        if loss is None:
            loss = self.head_loss(y_pred, *(ops.convert_to_tensor(label) for label in self._labels(x, y)))
        for extra in self.losses:  # of regularizers
            loss = loss + ops.cast(ops.sum(extra), loss.dtype)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the compiled metrics, which get the logits."""
        if getattr(self, "_compile_metrics", None) is not None:
            y, y_pred = _one_or_list(self._labels(x, y)), _predictions(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _labels(self, x: Any, y: Any) -> tuple[Any, ...]:
        """Return the labels, in the order of ``label_names``."""
        source = x if y is None else y
        if isinstance(source, Mapping):
            labels = tuple(source.get(name) for name in self.label_names or LABELS[:1])
        elif y is not None:
            labels = tuple(y) if isinstance(y, (tuple, list)) else (y,)
        else:
            labels = ()
        if not labels or len(labels) != max(1, len(self.label_names)) or any(label is None for label in labels):
            names = ", ".join(self.label_names or LABELS[:1])
            raise InputError(f"There are no labels to compute a loss from: put {names} beside the inputs, or pass y.")
        return labels

    # Files ----------------------------------------------------------------------------------------------------------

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **options: Any,
    ) -> None:
        """Write the model for serving, as :meth:`keras.Model.export` does.

        Args:
            filepath: folder of the SavedModel.
            format: one of Keras's.
            verbose: print what was written.
            input_signature: shapes and types of the inputs; int32 ids and mask of any size by default.
            **options: further options of Keras, which depend on the format.
        """
        with inside("export"):
            super().export(
                os.fspath(filepath),
                format=format,
                verbose=False if verbose is None else verbose,
                input_signature=[self.input_signature] if input_signature is None else input_signature,
                **options,
            )

    @property
    def input_signature(self) -> dict[str, keras.InputSpec]:
        """Shapes and types of ids and mask, (B, S) or (B, C, S), of any size."""
        shape = (None, None, None) if self.head_spec.name == "ForMultipleChoice" else (None, None)
        return {
            name: keras.InputSpec(shape=shape, dtype="int32", name=name) for name in ("input_ids", "attention_mask")
        }


def check_shapes(config: DistilBertConfig, shapes: Mapping[str, Shape]) -> None:
    """Check the shapes, which are known before there are numbers.

    Raises:
        InputError: a shape is wrong, or a sequence is too long.
    """
    batch, length = check_inputs(config, shapes.get("input_ids"), shapes.get("inputs_embeds"))
    if "attention_mask" in shapes:
        check_attention_mask(shapes["attention_mask"], batch, length)
    if "head_mask" in shapes:
        check_head_mask(config, shapes["head_mask"])


def check_values(config: DistilBertConfig, arguments: Mapping[str, Any]) -> None:
    """Check the numbers, if there are any yet; a graph that is being traced trusts its input.

    Raises:
        InputError: ids are not integers or outside the vocabulary, positions too large, or token types not zero.
    """
    token_type_ids = concrete(arguments.get("token_type_ids"))
    if token_type_ids is not None and token_type_ids.any():
        refuse_token_types()
    for name, size in (("input_ids", config.vocab_size), ("position_ids", config.max_position_embeddings)):
        ids = concrete(arguments.get(name))
        if ids is not None:
            check_ids(name, ids, size)


def _shape(value: Any) -> Shape:
    return tuple(None if size is None else int(size) for size in value.shape)


def _predictions(output: Any) -> Any:
    """Return the logits, which a loss or metric of Keras compares with the labels."""
    if not isinstance(output, ModelOutput):
        return output
    if "start_logits" in output:
        return [output["start_logits"], output["end_logits"]]
    return output["logits"] if "logits" in output else output["last_hidden_state"]


def _one_or_list(labels: tuple[Any, ...]) -> Any:
    return labels[0] if len(labels) == 1 else list(labels)


def _as_dictionary(x: Any) -> Any:
    """Turn the output of a tokenizer into a dictionary of arrays, the only mapping that Keras accepts."""
    if not isinstance(x, Mapping):
        return x
    return {name: np.asarray(column) if isinstance(column, list) else column for name, column in x.items()}
