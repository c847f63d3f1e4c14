"""The five heads of DistilBERT in Keras.

Legend: B batch, C choices, S sequence, D dim, V vocabulary, L labels. Every ``call`` has the
arguments of :meth:`TFDistilBertModel.call` and labels. ``head`` is what follows the encoder, for any leading shape.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.model_checks import Shape, check_choices, check_mask_of_tokens
from ...core.outputs import (
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from ...core.schema import HEADS
from .arrays import to_numpy
from .losses import choice_loss, sequence_classification_loss, span_loss, token_loss
from .modeling import ACTIVATIONS, TFDistilBertModel, layer_norm, linear
from .pretrained import TFDistilBertPreTrainedModel
from .surgery import copy_rows, rebuild

serializable = keras.saving.register_keras_serializable(package="distilbert")


class VocabProjector(layers.Layer):
    """The projection to the vocabulary, (..., D) -> (..., V); where tied, its weight is that of the word embeddings."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(**options)
        self.config = config
        self.tied = config.tie_word_embeddings

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(B, S, V), for ``summary``."""
        return (None, None, self.config.vocab_size)

    def build(self, input_shape: Any = None) -> None:
        """Create the bias (V,) and, where it is not tied, the kernel (D, V)."""
        size = self.config.vocab_size
        if not self.tied:
            normal = keras.initializers.RandomNormal(stddev=self.config.initializer_range)
            self.kernel = self.add_weight(name="kernel", shape=(self.config.dim, size), initializer=normal)
        self.bias = self.add_weight(name="bias", shape=(size,), initializer="zeros")

    def call(self, hidden: Any, word_embeddings: Any) -> Any:
        """Project ``hidden`` (..., D), with ``word_embeddings`` (V, D) where tied."""
        if self.tied:
            return ops.einsum("...d,vd->...v", hidden, word_embeddings) + self.bias
        return ops.matmul(hidden, self.kernel) + self.bias

    def resize(self, size: int) -> None:
        """Change the number of outputs to ``size``, as in ``config.vocab_size`` already; the first ones are kept."""
        kernel = None if self.tied else to_numpy(self.kernel.value)
        bias = to_numpy(self.bias.value)[:size]
        rebuild(self, "bias", *(() if self.tied else ("kernel",)))
        copy_rows(bias, self.bias)
        if kernel is not None:
            fresh = to_numpy(self.kernel.value).copy()
            width = min(size, kernel.shape[1])
            fresh[:, :width] = kernel[:, :width]
            self.kernel.assign(fresh)


class _ModelWithHead(TFDistilBertPreTrainedModel):
    """A model with an encoder called ``distilbert`` and a head."""

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.distilbert = TFDistilBertModel(config, name="distilbert", dtype=self.dtype_policy)

    def _linear(self, width: int, name: str) -> layers.Dense:
        return linear(width, self.config, name, self.dtype_policy)

    def _dropout(self, rate: float) -> layers.Dropout:
        return layers.Dropout(rate, name="dropout", dtype=self.dtype_policy)


@serializable
class TFDistilBertForMaskedLM(_ModelWithHead):
    """Predicts masked tokens: the objective of pretraining."""

    head_spec = HEADS["ForMaskedLM"]
    label_names = ("labels",)

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.activation = ACTIVATIONS[config.activation]
        self.vocab_transform = self._linear(config.dim, "vocab_transform")
        self.vocab_layer_norm = layer_norm("vocab_layer_norm", self.dtype_policy)
        self.vocab_projector = VocabProjector(config, name="vocab_projector", dtype=self.dtype_policy)
        self.post_init()

    def head(self, hidden: Any) -> Any:
        """(..., D) -> (..., V)."""
        hidden = self.vocab_layer_norm(self.activation(self.vocab_transform(hidden)))
        return self.vocab_projector(hidden, ops.convert_to_tensor(self.get_input_embeddings().embeddings))

    def head_loss(self, output: Any, labels: Any, weights: Any = None) -> Any:
        """Return the loss of an output; ``labels`` as in ``call``."""
        return token_loss(output.logits, labels, weights)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss (1,) of logits (B, S, ...), which is a mean over tokens; ``labels`` as in ``call``."""
        return ops.reshape(token_loss(logits, ops.convert_to_tensor(labels)), (1,))

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
    ) -> MaskedLMOutput:
        """Score every word piece at every position; ``labels`` (B, S) are ids, or -100 for tokens without a loss."""
        encoded = self.distilbert(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, training,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state)  # (B, S, V)
        output = MaskedLMOutput(None, logits, encoded.hidden_states, encoded.attentions)
        output.loss = None if labels is None else self.head_loss(output, labels)
        return output


@serializable
class TFDistilBertForSequenceClassification(_ModelWithHead):
    """Labels a text, or regresses on it."""

    head_spec = HEADS["ForSequenceClassification"]
    label_names = ("labels",)

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.num_labels = config.num_labels
        self.pre_classifier = self._linear(config.dim, "pre_classifier")
        self.classifier = self._linear(config.num_labels, "classifier")
        self.dropout = self._dropout(config.seq_classif_dropout)
        self.post_init()

    def head(self, hidden: Any, training: bool | None = None) -> Any:
        """First tokens, or means of tokens, (..., D) -> (..., L)."""
        return self.classifier(self.dropout(ops.relu(self.pre_classifier(hidden)), training=training))

    def head_loss(self, output: Any, labels: Any, weights: Any = None) -> Any:
        """Return the loss of an output; ``labels`` as in ``call``."""
        return sequence_classification_loss(output.logits, labels, self.config.problem_type, weights)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss (B,) of each row of logits (B, L); ``labels`` as in ``call``."""
        labels = ops.convert_to_tensor(labels)
        return sequence_classification_loss(logits, labels, self.config.problem_type, reduce=False)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
    ) -> SequenceClassifierOutput:
        """Classify each sequence; ``labels`` as :func:`.losses.sequence_classification_loss` takes them."""
        encoded = self.distilbert(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, training,
            first_token=self.config.classifier_pooling == "cls",
        )  # fmt: skip
        hidden = encoded.last_hidden_state  # (B, S, D)
        pooled = hidden[:, 0] if self.config.classifier_pooling == "cls" else mean_of_tokens(hidden, attention_mask)
        logits = self.head(pooled, training)  # (B, L)
        output = SequenceClassifierOutput(None, logits, encoded.hidden_states, encoded.attentions)
        output.loss = None if labels is None else self.head_loss(output, labels)
        return output


@serializable
class TFDistilBertForMultipleChoice(_ModelWithHead):
    """Chooses one of several texts."""

    head_spec = HEADS["ForMultipleChoice"]
    label_names = ("labels",)

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.pre_classifier = self._linear(config.dim, "pre_classifier")
        self.classifier = self._linear(1, "classifier")
        self.dropout = self._dropout(config.seq_classif_dropout)
        self.post_init()

    def head(self, hidden: Any, training: bool | None = None) -> Any:
        """First tokens (..., D) -> (..., 1)."""
        return self.classifier(self.dropout(ops.relu(self.pre_classifier(hidden)), training=training))

    def head_loss(self, output: Any, labels: Any, weights: Any = None) -> Any:
        """Return the loss of an output; ``labels`` as in ``call``."""
        return choice_loss(output.logits, labels, weights)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss (B,) of each row of logits (B, C); ``labels`` as in ``call``."""
        return choice_loss(logits, ops.convert_to_tensor(labels), reduce=False)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
    ) -> MultipleChoiceModelOutput:
        """Score each choice: inputs (B, C, S), embeddings (B, C, S, D), ``labels`` (B,) index of the right one."""
        choices = ops.shape(input_ids if input_ids is not None else inputs_embeds)[1]
        input_ids, attention_mask, inputs_embeds = map(_flatten, (input_ids, attention_mask, inputs_embeds))
        if position_ids is not None and len(position_ids.shape) == 3:
            position_ids = _flatten(position_ids)
        if token_type_ids is not None and len(token_type_ids.shape) == 3:
            token_type_ids = _flatten(token_type_ids)
        encoded = self.distilbert(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, training,
            first_token=True,
        )  # fmt: skip
        logits = ops.reshape(self.head(encoded.last_hidden_state[:, 0], training), (-1, choices))  # (B, C)
        output = MultipleChoiceModelOutput(None, logits, encoded.hidden_states, encoded.attentions)
        output.loss = None if labels is None else self.head_loss(output, labels)
        return output

    def _flat_shapes(self, shapes: dict[str, Shape]) -> dict[str, Shape]:
        check_choices(shapes.get("input_ids"), shapes.get("inputs_embeds"))
        flattened = ("input_ids", "attention_mask", "inputs_embeds")
        return {name: _flat_shape(shape) if name in flattened else shape for name, shape in shapes.items()}


@serializable
class TFDistilBertForTokenClassification(_ModelWithHead):
    """Labels every token."""

    head_spec = HEADS["ForTokenClassification"]
    label_names = ("labels",)

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.num_labels = config.num_labels
        self.dropout = self._dropout(config.dropout)
        self.classifier = self._linear(config.num_labels, "classifier")
        self.post_init()

    def head(self, hidden: Any, training: bool | None = None) -> Any:
        """(..., D) -> (..., L)."""
        return self.classifier(self.dropout(hidden, training=training))

    def head_loss(self, output: Any, labels: Any, weights: Any = None) -> Any:
        """Return the loss of an output; ``labels`` as in ``call``."""
        return token_loss(output.logits, labels, weights)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss (1,) of logits (B, S, ...), which is a mean over tokens; ``labels`` as in ``call``."""
        return ops.reshape(token_loss(logits, ops.convert_to_tensor(labels)), (1,))

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
    ) -> TokenClassifierOutput:
        """Classify each token; ``labels`` (B, S) are classes, or -100 for tokens without a loss."""
        encoded = self.distilbert(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, training,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state, training)  # (B, S, L)
        output = TokenClassifierOutput(None, logits, encoded.hidden_states, encoded.attentions)
        output.loss = None if labels is None else self.head_loss(output, labels)
        return output


@serializable
class TFDistilBertForQuestionAnswering(_ModelWithHead):
    """Finds the span of a text that answers a question."""

    head_spec = HEADS["ForQuestionAnswering"]
    label_names = ("start_positions", "end_positions")

    def __init__(self, config: DistilBertConfig, **options: Any) -> None:
        super().__init__(config, **options)
        if config.num_labels != 2:
            raise ConfigError(f"Question answering has 2 labels, start and end; num_labels is {config.num_labels}.")
        self.qa_outputs = self._linear(config.num_labels, "qa_outputs")
        self.dropout = self._dropout(config.qa_dropout)
        self.post_init()

    def head(self, hidden: Any, training: bool | None = None) -> Any:
        """(..., D) -> (..., 2), start and end."""
        return self.qa_outputs(self.dropout(hidden, training=training))

    def head_loss(self, output: Any, start_positions: Any, end_positions: Any, weights: Any = None) -> Any:
        """Return the loss of an output; positions as in ``call``."""
        return span_loss(output.start_logits, output.end_logits, start_positions, end_positions, weights)

    def hf_compute_loss(self, labels: Any, logits: Any) -> Any:
        """Return the loss (B,) of each row.

        Args:
            labels: a dictionary with the positions under ``"start_position"`` and ``"end_position"``, or with an s.
            logits: start and end logits, (B, S) each.
        """
        start, end = (
            ops.convert_to_tensor(labels[f"{side}_position" if f"{side}_position" in labels else f"{side}_positions"])
            for side in ("start", "end")
        )
        start_logits, end_logits = logits
        return span_loss(start_logits, end_logits, start, end, reduce=False)

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        training: bool | None = None,
    ) -> QuestionAnsweringModelOutput:
        """Score each token as start and end; positions (B,) as :func:`.losses.span_loss` takes them."""
        encoded = self.distilbert(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, training,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state, training)  # (B, S, 2)
        output = QuestionAnsweringModelOutput(
            None, logits[..., 0], logits[..., 1], encoded.hidden_states, encoded.attentions
        )
        if start_positions is not None and end_positions is not None:
            output.loss = self.head_loss(output, start_positions, end_positions)
        return output


def _flatten(x: Any) -> Any:
    """(B, C, S, ...) -> (B * C, S, ...)."""
    return None if x is None else ops.reshape(x, (-1, *ops.shape(x)[2:]))


def _flat_shape(shape: Shape) -> Shape:
    """(B, C, S, ...) -> (B * C, S, ...), where B or C may be unknown."""
    return (None if None in shape[:2] else shape[0] * shape[1], *shape[2:])  # type: ignore[operator]


def mean_of_tokens(hidden: Any, attention_mask: Any) -> Any:
    """Return the mean of each sequence: (B, S, D) -> (B, D).

    Args:
        hidden: states of all tokens.
        attention_mask: (B, S), 1 for tokens; None: all are tokens.

    Raises:
        InputError: the mask has other dimensions, which do not say what is a token.
    """
    if attention_mask is None:
        return ops.mean(hidden, axis=1)
    mask = ops.convert_to_tensor(attention_mask)
    check_mask_of_tokens(len(mask.shape))
    kept = ops.expand_dims(ops.cast(mask, "bool"), -1)
    sums = ops.sum(ops.where(kept, ops.cast(hidden, "float32"), 0.0), axis=1)
    counts = ops.maximum(ops.sum(ops.cast(kept, "float32"), axis=1), 1.0)
    return ops.cast(sums / counts, hidden.dtype)
