"""DistilBERT as a Keras model: what happens around ``call``, and in ``compile``, ``fit``, ``predict`` and ``export``.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from ...core.config import DistilBertConfig
from ...core.errors import InputError, reject_unknown
from ...core.model_checks import (
    CALL_ARGUMENTS,
    IGNORED,
    Shape,
    check_attention_mask,
    check_config_type,
    check_head_mask,
    check_ids,
    check_inputs,
    check_numbers,
    refuse_token_types,
)
from ...core.outputs import ModelOutput
from ..pretrained_mixin import PreTrainedMixin
from .arrays import concrete
from .losses import fit_weights

LABELS = ("labels", "start_positions", "end_positions")

# The method that is running around a call: another model's "call", a "step" of training, "predict" or "export".
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
        check_config_type(config, type(self).__name__)
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
            try:
                output = super().__call__(**arguments)
            except InputError as error:
                raise _in_its_own_words(error) from None
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
        if _outer_method.get() in (None, "step"):
            check_values(self.config, arguments)
        return arguments

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by name: a dictionary unpacked, lists as arrays, and those that are None left out."""
        names = [name for name in inspect.signature(type(self).call).parameters if name != "self"]
        values: dict[str, Any] = {}
        if args and isinstance(args[0], Mapping):
            values, args = dict(args[0]), (None, *args[1:])
        elif args and self._is_list_of_inputs(args[0]):
            self._check_count(args[0], names)
            values, args = dict(zip(names, args[0], strict=False)), (None, *args[1:])
        self._check_count(args, names)
        for named in (dict(zip(names, args, strict=False)), kwargs):
            for name, value in named.items():
                if value is not None and values.get(name) is not None:
                    raise InputError(f"{name} was given twice.")
                values[name] = value if value is not None else values.get(name)
        unknown = [name for name in values if name not in names and name != "return_dict"]
        known = [name for name in CALL_ARGUMENTS if name in names or name == "return_dict"]
        reject_unknown(unknown, known, f"{type(self).__name__}.call")
        for name, value in values.items():
            check_numbers(name, value, "tf")
            if isinstance(value, (list, tuple)) or (name in LABELS and isinstance(value, (int, float))):
                values[name] = np.asarray(value)
        return {name: value for name, value in values.items() if value is not None}

    def _is_list_of_inputs(self, value: Any) -> bool:
        """Whether a list holds inputs by position, ``[ids, mask]``, and not the rows of one input."""
        if not isinstance(value, (list, tuple)):
            return False
        tensors = [item for item in value if hasattr(item, "shape")]
        rank = 3 if self.head_spec.name == "ForMultipleChoice" else 2
        return bool(tensors) and (value[0] is None or (value[0] is tensors[0] and len(tensors[0].shape) == rank))

    def _check_count(self, args: Sequence[Any], names: list[str]) -> None:
        if len(args) > len(names):
            raise InputError(f"{type(self).__name__} takes {len(names)} arguments, {len(args)} were given by position.")

    def _flat_shapes(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        """Return the shapes as the encoder will see them."""
        return shapes


class TrainableModel(CheckedModel):
    """A model with a loss of its own.

    Compiled without a loss, it computes that of its head; the labels are among the inputs or given as ``y``. A loss of
    Keras gets the logits; for question answering these are a pair, start and end.
    """

    label_names: ClassVar[tuple[str, ...]] = ()
    _class_weights: np.ndarray | None = None  # (L,), while fit or train_on_batch run with class_weight

    def head_loss(self, output: Any, *labels: Any, **options: Any) -> Any:
        """Return the loss of an output.

        Args:
            output: of a call.
            *labels: in the order of ``label_names``.
            **options: ``weights``: factors of the shape of the labels or (B,), or a list, one for each of ``labels``.
        """
        raise InputError(f"{type(self).__name__} has no loss of its own: compile(loss=...) one.")

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss of logits as transformers' TensorFlow classes do: of each row, not their mean."""
        raise InputError(f"{type(self).__name__} has no loss of its own.")

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, loss_weights: Any = None, metrics: Any = None,
        weighted_metrics: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        """Set up training, as :meth:`keras.Model.compile` does.

        A plain list of metrics holds for each label: question answering measures it for the start and for the end.
        ``loss=model.hf_compute_loss`` is the same as no loss: that of the head, whose mean ``fit`` takes.
        """
        if loss == self.hf_compute_loss:  # Keras would hand it the labels as floats
            loss = None
        metrics, weighted_metrics = map(self._for_each_label, (metrics, weighted_metrics))
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **options)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Set up training as it was when the model was saved: Keras does not where ``compile`` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def _for_each_label(self, metrics: Any) -> Any:
        """Return a list of metrics for each label, where a model has several labels and ``metrics`` is one list."""
        plain = isinstance(metrics, (list, tuple)) and not any(isinstance(each, (list, tuple)) for each in metrics)
        if not plain or not metrics or len(self.label_names) < 2:
            return metrics
        return [[_copy_metric(metric) for metric in metrics] for _ in self.label_names]

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, class_weight: Any = None, sample_weight: Any = None,
        validation_data: Any = None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Train as :meth:`keras.Model.fit` does.

        ``x`` may be the output of a tokenizer with labels added to it, and so may the inputs in ``validation_data``.
        """
        x, y, sample_weight = self._prepare_data(x, y, sample_weight)
        if isinstance(validation_data, (tuple, list)):
            validation_data = self._prepare_data(*validation_data)
        elif isinstance(validation_data, Mapping):
            validation_data = self._prepare_data(validation_data)
        if hasattr(x, "element_spec"):  # a tf.data.Dataset has its own order, and Keras warns of its own default
            kwargs.setdefault("shuffle", False)
        kwargs |= {"sample_weight": sample_weight, "validation_data": validation_data}
        with self._weighting_classes(class_weight) as rest:
            return super().fit(x, y, *args, class_weight=rest, **kwargs)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, **kwargs: Any
    ) -> Any:
        """Train on one batch, as :meth:`keras.Model.train_on_batch` does."""
        x, y, sample_weight = self._prepare_data(x, y, sample_weight)
        with self._weighting_classes(class_weight) as rest:
            return super().train_on_batch(x, y, sample_weight=sample_weight, class_weight=rest, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, sample_weight: Any = None, **kwargs: Any) -> Any:
        """Measure the loss and the metrics, as :meth:`keras.Model.evaluate` does."""
        x, y, sample_weight = self._prepare_data(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **kwargs: Any) -> Any:
        """Measure the loss and the metrics on one batch, as :meth:`keras.Model.test_on_batch` does."""
        x, y, sample_weight = self._prepare_data(x, y, sample_weight)
        return super().test_on_batch(x, y, sample_weight=sample_weight, **kwargs)

    # Keras's steps read the loss and the logits from an output by name, whatever the configuration says of tuples.

    def train_step(self, *args: Any, **kwargs: Any) -> Any:
        """Train on one batch inside a compiled function; the arguments are those of the backend."""
        with inside("step"):
            return super().train_step(*args, **kwargs)

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """Measure one batch inside a compiled function; the arguments are those of the backend."""
        with inside("step"):
            return super().test_step(*args, **kwargs)

    def _symbolic_build(self, *args: Any, **kwargs: Any) -> Any:
        with inside("step"):
            return super()._symbolic_build(*args, **kwargs)

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
            InputError: there are no labels, or weights that do not go with them.
        """
        if self._compile_loss is not None:
            labels = _one_or_list(self._labels(x, y))
            return super().compute_loss(x, labels, _predictions(y_pred), sample_weight, training)
        weighs_classes = training and self._class_weights is not None
        loss = None if sample_weight is not None or weighs_classes else y_pred.get("loss")
        if loss is None:
            targets = tuple(ops.convert_to_tensor(label) for label in self._labels(x, y))
            leaves = keras.tree.flatten(sample_weight)  # Keras gives each of several labels the weights of the samples
            weights = _one_or_list(tuple(leaves))
            if weighs_classes:
                weights = self._weights_of_labels(targets, weights)
            loss = self.head_loss(y_pred, *targets, weights=weights)
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

    def _prepare_data(self, x: Any, y: Any = None, sample_weight: Any = None) -> tuple[Any, Any, Any]:
        """Return inputs as a dictionary of arrays, labels and weights as arrays, and labels apart where Keras needs it.

        Keras drops ``sample_weight`` silently where ``y`` is None.
        """
        x, y, sample_weight = _as_dictionary(x), self._for_labels(y), self._for_labels(sample_weight)
        names = self.label_names or LABELS[:1]
        if sample_weight is None or y is not None or not isinstance(x, Mapping) or any(name not in x for name in names):
            return x, y, sample_weight
        inputs = {name: column for name, column in x.items() if name not in names}
        return inputs, _one_or_list(tuple(x[name] for name in names)), sample_weight

    def _for_labels(self, values: Any) -> Any:
        """Return labels, or weights of them, as Keras takes them: lists of numbers as arrays, one for each label."""
        if isinstance(values, Mapping):
            return _as_dictionary(values)
        if not isinstance(values, (list, tuple)):
            return values
        if len(self.label_names) > 1 and len(values) == len(self.label_names):
            return [np.asarray(value) if isinstance(value, (list, tuple)) else value for value in values]
        is_one_array = len(values) == 1 and len(getattr(values[0], "shape", ())) > 0
        return values if is_one_array else np.asarray(values)

    @contextmanager
    def _weighting_classes(self, class_weight: Mapping[int, float] | None) -> Iterator[Mapping[int, float] | None]:
        """Let the built-in loss weigh classes in this context; yield what is left for a loss of Keras to weigh."""
        if class_weight is None or self._compile_loss is not None:
            yield class_weight
            return
        classes = self._number_of_classes()
        wrong = [label for label in class_weight if not 0 <= int(label) < classes]
        if wrong:
            raise InputError(f"class_weight has weights for {wrong}; the classes are 0 to {classes - 1}.")
        table = np.ones(classes, np.float32)
        for label, weight in class_weight.items():
            table[int(label)] = weight
        self._class_weights = table
        self.train_function = None  # one that was traced before has no weights or others
        try:
            yield None
        finally:
            self._class_weights = self.train_function = None

    def _number_of_classes(self) -> int:
        """Return the number of classes that a label can name; the loss must be that of classes."""
        config, name = self.config, self.head_spec.name
        if name == "ForMaskedLM":
            return int(config.vocab_size)
        classifies = name == "ForTokenClassification" or (
            name == "ForSequenceClassification"
            and config.problem_type in (None, "single_label_classification")
            and config.num_labels > 1
        )
        if not classifies:
            raise InputError(
                f"class_weight needs labels that name one class each, and {type(self).__name__} has others: "
                "use sample_weight."
            )
        return config.num_labels

    def _weights_of_labels(self, labels: tuple[Any, ...], sample_weight: Any) -> Any:
        """Return the weight of each label's class, times that of its sample."""
        target = labels[0]
        assert self._class_weights is not None
        if "int" not in keras.backend.standardize_dtype(target.dtype):
            raise InputError("class_weight needs labels that are integers, one class each: use sample_weight.")
        known = ops.clip(ops.cast(target, "int32"), 0, len(self._class_weights) - 1)  # -100 has no loss in any case
        weights = ops.take(ops.convert_to_tensor(self._class_weights), known)
        return weights if sample_weight is None else weights * fit_weights(sample_weight, target)

    # Data -----------------------------------------------------------------------------------------------------------

    def prepare_tf_dataset(
        self,
        dataset: Any,
        batch_size: int = 8,
        shuffle: bool = True,
        tokenizer: Any = None,
        collate_fn: Any = None,
        collate_fn_args: Mapping[str, Any] | None = None,
        drop_remainder: bool | None = None,
        prefetch: bool = True,
    ) -> Any:
        """Turn a ``datasets.Dataset`` into a ``tf.data.Dataset`` for ``fit``: of inputs, or of inputs and labels.

        Args:
            dataset: of tokenized rows. Columns that the model does not take are left out; ``label`` and ``label_ids``
                are taken as ``labels``.
            batch_size: rows of a batch, B.
            shuffle: another order in each epoch.
            tokenizer: pads the rows of each batch to one length, and labels of tokens with -100; without it the rows
                must have one length.
            collate_fn: turns a list of rows into a batch, instead of the tokenizer.
            collate_fn_args: further arguments of ``collate_fn``.
            drop_remainder: leave out a last batch of fewer rows; None for what ``shuffle`` says.
            prefetch: prepare a batch while the model works on another.

        Raises:
            InputError: it is another kind of data, none of its columns is an input, or the backend is not TensorFlow.
        """
        if keras.backend.backend() != "tensorflow" or not hasattr(dataset, "to_tf_dataset"):
            raise InputError(
                "prepare_tf_dataset takes a datasets.Dataset, on the TensorFlow backend of Keras, got a "
                f"{type(dataset).__name__} on {keras.backend.backend()}. fit(...) itself takes arrays."
            )
        taken = [name for name in inspect.signature(type(self).call).parameters if name != "self"]
        for other in ("label", "label_ids"):
            if self.label_names == LABELS[:1] and other in dataset.features and "labels" not in dataset.features:
                dataset = dataset.rename_column(other, "labels")
        columns = [name for name in dataset.features if name in taken]
        if not {"input_ids", "inputs_embeds"} & set(columns):
            raise InputError(
                f"No column is input_ids: there are {', '.join(dataset.features)}. Tokenize the texts first."
            )
        labels = [name for name in columns if name in self.label_names]
        if collate_fn is None and tokenizer is not None:
            collate_fn, collate_fn_args = _pad_rows, {"tokenizer": tokenizer, "per_token": self.head_spec.per_token}
        options = (
            {} if collate_fn is None else {"collate_fn": collate_fn, "collate_fn_args": dict(collate_fn_args or {})}
        )
        return dataset.select_columns(columns).to_tf_dataset(
            batch_size=batch_size,
            columns=_one_or_list(tuple(name for name in columns if name not in labels)),
            label_cols=_one_or_list(tuple(labels)) if labels else None,
            shuffle=shuffle,
            drop_remainder=shuffle if drop_remainder is None else drop_remainder,
            prefetch=prefetch,
            **options,
        )

    @property
    def dummy_inputs(self) -> dict[str, Any]:
        """Inputs that any model takes: int32 ids and mask (2, 3), or (2, 2, 3) for multiple choice."""
        shape = (2, 2, 3) if self.head_spec.name == "ForMultipleChoice" else (2, 3)
        return {"input_ids": ops.zeros(shape, "int32"), "attention_mask": ops.ones(shape, "int32")}

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
    def input_signature(self) -> dict[str, Any]:
        """Shapes and types of ids and mask, (B, S) or (B, C, S) of any size; on TensorFlow, ``tf.TensorSpec``."""
        shape = (None, None, None) if self.head_spec.name == "ForMultipleChoice" else (None, None)
        names = ("input_ids", "attention_mask")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return {name: tf.TensorSpec(shape, tf.int32, name=name) for name in names}
        return {name: keras.InputSpec(shape=shape, dtype="int32", name=name) for name in names}

    def serving_output(self, output: ModelOutput) -> dict[str, Any]:
        """Return an output as a dictionary of tensors; hidden states and attention maps are stacked, layers first."""
        return {name: ops.stack(value) if isinstance(value, (list, tuple)) else value for name, value in output.items()}


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
    embeddings = concrete(arguments.get("inputs_embeds"))
    if embeddings is not None and not np.issubdtype(embeddings.dtype, np.inexact) and embeddings.dtype.kind != "V":
        raise InputError(f"inputs_embeds must be floating-point numbers, got {embeddings.dtype}.")


def _in_its_own_words(error: InputError) -> InputError:
    """Return an error without what Keras writes around its message: the name and all arguments of the layer."""
    own = re.search("\x1b\\[1m(.*)\x1b\\[0m", str(error), re.DOTALL)
    return error if own is None else InputError(own[1])


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
    return {name: np.asarray(column) if isinstance(column, (list, tuple)) else column for name, column in x.items()}


def _pad_rows(rows: list[dict[str, Any]], tokenizer: Any, per_token: bool) -> dict[str, np.ndarray]:
    """Return rows as a batch: what the tokenizer makes is padded to one length, other columns are stacked.

    Args:
        rows: of ``input_ids`` and other columns.
        tokenizer: pads.
        per_token: labels that are lists have one for each token, and are padded with -100.

    Raises:
        InputError: a column has rows of different lengths.
    """
    made = {"input_ids", "attention_mask", "token_type_ids"}
    batch = dict(tokenizer.pad([{n: row[n] for n in row if n in made} for row in rows], return_tensors="np"))
    for name in [name for name in rows[0] if name not in made]:
        column = [np.asarray(row[name]) for row in rows]
        if per_token and name == "labels":
            missing = [batch["input_ids"].shape[1] - len(labels) for labels in column]
            sides = [(0, n) if tokenizer.padding_side == "right" else (n, 0) for n in missing]
            column = [np.pad(labels, side, constant_values=IGNORED) for labels, side in zip(column, sides, strict=True)]
        if len({array.shape for array in column}) > 1:
            raise InputError(
                f"The rows of {name} have different shapes: {', '.join(str(array.shape) for array in column)}. "
                "Pad them, or pass a collate_fn that does."
            )
        batch[name] = np.stack(column)
    return batch


def _copy_metric(metric: Any) -> Any:
    """Return another metric of the same kind; a name or function is its own copy."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    return keras.metrics.deserialize(keras.metrics.serialize(metric))
