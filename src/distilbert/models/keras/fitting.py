"""DistilBERT inside Keras's ``compile``, ``fit``, ``evaluate``, ``predict``, ``export`` and ``.keras`` files.

Legend: B batch, C choices, S sequence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from ...core.errors import InputError
from ...core.outputs import ModelOutput
from .calling import LABELS, CheckedModel, around


class TrainableModel(CheckedModel):
    """A model that brings its own loss.

    Compiled without a loss, it computes the one of its head, from labels beside the inputs or given as ``y``. Compiled
    with a Keras loss, that one sees the logits: of question answering a pair, of start and end.
    """

    label_names: ClassVar[tuple[str, ...]] = ()

    def head_loss(self, output: Any, *labels: Any) -> Any:
        """Loss of an output, given the labels in the order of ``label_names``."""
        raise InputError(f"{type(self).__name__} has no loss of its own: compile(loss=...) one.")

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as :meth:`keras.Model.fit` does; ``x`` may be what a tokenizer returned, with labels put into it."""
        return super().fit(_columns(x), *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Measure the loss and the metrics, as :meth:`keras.Model.evaluate` does."""
        return super().evaluate(_columns(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Return an output of NumPy arrays for all of ``x``; labels in it are passed over."""
        with around("predict"):
            return super().predict(_columns(x), *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Return an output of NumPy arrays for one batch; labels in it are passed over."""
        with around("predict"):
            return super().predict_on_batch(_columns(x))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss that ``fit`` minimizes: the compiled one, else the head's.

        Raises:
            InputError: there are no labels, or weights of samples for a loss that knows none.
        """
        if self._compile_loss is not None:
            labels = _join(self._labels(x, y))
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
        """Update the compiled metrics, which see the logits."""
        if getattr(self, "_compile_metrics", None) is not None:
            y, y_pred = _join(self._labels(x, y)), _predictions(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _labels(self, x: Any, y: Any) -> tuple[Any, ...]:
        """Find the labels, in the order of ``label_names``."""
        source = x if y is None else y
        if isinstance(source, Mapping):
            found = tuple(source.get(name) for name in self.label_names or LABELS[:1])
        elif y is not None:
            found = tuple(y) if isinstance(y, (tuple, list)) else (y,)
        else:
            found = ()
        if not found or len(found) != max(1, len(self.label_names)) or any(label is None for label in found):
            names = ", ".join(self.label_names or LABELS[:1])
            raise InputError(f"There are no labels to compute a loss from: put {names} beside the inputs, or pass y.")
        return found

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
            input_signature: of the inputs; int32 ``input_ids`` and ``attention_mask``, of any size, if not given.
            **options: Keras's own, by format.
        """
        with around("export"):
            super().export(
                os.fspath(filepath),
                format=format,
                verbose=False if verbose is None else verbose,
                input_signature=[self.input_signature] if input_signature is None else input_signature,
                **options,
            )

    @property
    def input_signature(self) -> dict[str, keras.InputSpec]:
        """Ids and mask, (B, S) or (B, C, S), of any size."""
        shape = (None, None, None) if self.head_spec.name == "ForMultipleChoice" else (None, None)
        return {
            name: keras.InputSpec(shape=shape, dtype="int32", name=name) for name in ("input_ids", "attention_mask")
        }


def _predictions(output: Any) -> Any:
    """Return what a Keras loss or metric compares with the labels."""
    if not isinstance(output, ModelOutput):
        return output
    if "start_logits" in output:
        return [output["start_logits"], output["end_logits"]]
    return output["logits"] if "logits" in output else output["last_hidden_state"]


def _join(labels: tuple[Any, ...]) -> Any:
    return labels[0] if len(labels) == 1 else list(labels)


def _columns(x: Any) -> Any:
    """Turn what a tokenizer returned into a dictionary of arrays, the only mapping that Keras feeds."""
    if not isinstance(x, Mapping):
        return x
    return {name: np.asarray(column) if isinstance(column, list) else column for name, column in x.items()}
