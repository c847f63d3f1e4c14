"""The five heads of DistilBERT in JAX.

Legend: B batch, C choices, S sequence, D dim, V vocabulary, L labels. Every ``__call__``
has the arguments of :meth:`FlaxDistilBertModel.__call__` and labels. ``head`` is what follows the encoder, for any
leading shape.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.model_checks import check_choices, check_mask_of_tokens, check_numbers
from ...core.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from ...core.schema import HEADS, tied
from .functional import functional
from .layer_factory import LayerFactory
from .losses import choice_loss, sequence_classification_loss, span_loss, token_loss
from .modeling import ACTIVATIONS, FlaxDistilBertModel
from .pretrained import FlaxDistilBertPreTrainedModel


class TiedProjector(nnx.Module):
    """The projection to the vocabulary, (..., D) -> (..., V), with the weight of the word embeddings."""

    def __init__(self, config: DistilBertConfig, layers: LayerFactory) -> None:
        self.bias = layers.bias(config.vocab_size)

    def __call__(self, hidden: Array, embeddings: nnx.Embed) -> Array:
        """(..., D) -> (..., V)."""
        logits = embeddings.attend(hidden)
        return logits + self.bias.get_value().astype(logits.dtype)


class _ModelWithHead(FlaxDistilBertPreTrainedModel):
    """A model with an encoder called ``distilbert`` and a head."""

    def _prepare(
        self,
        config: DistilBertConfig,
        rngs: nnx.Rngs | None,
        seed: int,
        dtype: Any,
        param_dtype: Any,
        input_shape: tuple[int, ...],
        do_init: bool,
    ) -> LayerFactory:
        layers = super()._prepare(config, rngs, seed, dtype, param_dtype, input_shape, do_init)
        self.distilbert = FlaxDistilBertModel(config, rngs=layers.rngs, **layers.types, _do_init=do_init)
        return layers

    def _encode(
        self,
        input_ids: Any,
        attention_mask: Any,
        head_mask: Any,
        inputs_embeds: Any,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        position_ids: Any,
        token_type_ids: Any,
        deterministic: bool | None,
        unknown: dict[str, Any],
        first_token: bool = False,
    ) -> BaseModelOutput:
        encoded: Any = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            deterministic=deterministic,
            first_token=first_token,
            **unknown,
        )
        return encoded

    def _return(self, output: ModelOutput, return_dict: bool | None) -> Any:
        return output if (self.config.return_dict if return_dict is None else return_dict) else output.to_tuple()


class FlaxDistilBertForMaskedLM(_ModelWithHead):
    """Predicts masked tokens: the objective of pretraining."""

    head_spec = HEADS["ForMaskedLM"]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        self.activation = ACTIVATIONS[config.activation]
        self.vocab_transform = layers.linear(config.dim, config.dim)
        self.vocab_layer_norm = layers.norm(config.dim)
        self.vocab_projector: nnx.Linear | TiedProjector
        if tied(config, self.head_spec):
            self.vocab_projector = TiedProjector(config, layers)
        else:
            self.vocab_projector = layers.linear(config.dim, config.vocab_size)

    def set_output_embeddings(self, projector: nnx.Linear | TiedProjector) -> None:
        """Replace the projection to the vocabulary."""
        self.vocab_projector = projector

    def head(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """(..., D) -> (..., V)."""
        hidden = self.vocab_layer_norm(self.activation(self.vocab_transform(hidden)))
        if isinstance(self.vocab_projector, TiedProjector):
            return self.vocab_projector(hidden, self.get_input_embeddings())
        return self.vocab_projector(hidden)

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        **unknown: Any,
    ) -> MaskedLMOutput:
        """Score every word piece at every position; ``labels`` (B, S) are ids, or -100 for tokens without a loss."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, deterministic, unknown,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state, deterministic)  # (B, S, V)
        loss = None if labels is None else token_loss(logits, _to_array("labels", labels))
        output = MaskedLMOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class FlaxDistilBertForSequenceClassification(_ModelWithHead):
    """Labels a text, or regresses on it."""

    head_spec = HEADS["ForSequenceClassification"]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        self.num_labels = config.num_labels
        self.pre_classifier = layers.linear(config.dim, config.dim)
        self.classifier = layers.linear(config.dim, config.num_labels)
        self.dropout = layers.dropout(config.seq_classif_dropout)

    def head(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """First tokens, or means of tokens, (..., D) -> (..., L)."""
        return self.classifier(self.dropout(jax.nn.relu(self.pre_classifier(hidden)), deterministic=deterministic))

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        **unknown: Any,
    ) -> SequenceClassifierOutput:
        """Classify each sequence; ``labels`` as :func:`.losses.sequence_classification_loss` takes them."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, deterministic, unknown,
            first_token=self.config.classifier_pooling == "cls",
        )  # fmt: skip
        hidden = encoded.last_hidden_state  # (B, S, D)
        pooled = hidden[:, 0] if self.config.classifier_pooling == "cls" else mean_of_tokens(hidden, attention_mask)
        logits = self.head(pooled, deterministic)  # (B, L)
        loss = None
        if labels is not None:
            loss = sequence_classification_loss(logits, _to_array("labels", labels), self.config.problem_type)
        output = SequenceClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class FlaxDistilBertForMultipleChoice(_ModelWithHead):
    """Chooses one of several texts."""

    head_spec = HEADS["ForMultipleChoice"]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        self.pre_classifier = layers.linear(config.dim, config.dim)
        self.classifier = layers.linear(config.dim, 1)
        self.dropout = layers.dropout(config.seq_classif_dropout)

    def head(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """First tokens (..., D) -> (..., 1)."""
        return self.classifier(self.dropout(jax.nn.relu(self.pre_classifier(hidden)), deterministic=deterministic))

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        **unknown: Any,
    ) -> MultipleChoiceModelOutput:
        """Score each choice: inputs (B, C, S), embeddings (B, C, S, D), ``labels`` (B,) index of the right one."""
        shapes = (None if x is None else np.shape(x) for x in (input_ids, inputs_embeds))
        choices = check_choices(*shapes)
        input_ids, attention_mask, inputs_embeds = map(_flatten, (input_ids, attention_mask, inputs_embeds))
        if position_ids is not None and np.ndim(position_ids) == 3:
            position_ids = _flatten(position_ids)
        if token_type_ids is not None and np.ndim(token_type_ids) == 3:
            token_type_ids = _flatten(token_type_ids)
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, deterministic, unknown,
            first_token=True,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state[:, 0], deterministic).reshape(-1, choices)  # (B, C)
        loss = None if labels is None else choice_loss(logits, _to_array("labels", labels))
        output = MultipleChoiceModelOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class FlaxDistilBertForTokenClassification(_ModelWithHead):
    """Labels every token."""

    head_spec = HEADS["ForTokenClassification"]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        self.num_labels = config.num_labels
        self.dropout = layers.dropout(config.dropout)
        self.classifier = layers.linear(config.dim, config.num_labels)

    def head(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """(..., D) -> (..., L)."""
        return self.classifier(self.dropout(hidden, deterministic=deterministic))

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        **unknown: Any,
    ) -> TokenClassifierOutput:
        """Classify each token; ``labels`` (B, S) are classes, or -100 for tokens without a loss."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, deterministic, unknown,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state, deterministic)  # (B, S, L)
        loss = None if labels is None else token_loss(logits, _to_array("labels", labels))
        output = TokenClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class FlaxDistilBertForQuestionAnswering(_ModelWithHead):
    """Finds the span of a text that answers a question."""

    head_spec = HEADS["ForQuestionAnswering"]

    def __init__(
        self,
        config: DistilBertConfig,
        *,
        rngs: nnx.Rngs | None = None,
        seed: int = 0,
        dtype: Any = jnp.float32,
        param_dtype: Any = None,
        input_shape: tuple[int, ...] = (1, 1),
        _do_init: bool = True,
    ) -> None:
        layers = self._prepare(config, rngs, seed, dtype, param_dtype, input_shape, _do_init)
        if config.num_labels != 2:
            raise ConfigError(f"Question answering has 2 labels, start and end; num_labels is {config.num_labels}.")
        self.qa_outputs = layers.linear(config.dim, config.num_labels)
        self.dropout = layers.dropout(config.qa_dropout)

    def head(self, hidden: Array, deterministic: bool | None = None) -> Array:
        """(..., D) -> (..., 2), start and end."""
        return self.qa_outputs(self.dropout(hidden, deterministic=deterministic))

    @functional
    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        head_mask: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Any = None,
        token_type_ids: Any = None,
        deterministic: bool | None = None,
        **unknown: Any,
    ) -> QuestionAnsweringModelOutput:
        """Score each token as start and end; positions (B,) as :func:`.losses.span_loss` takes them."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, deterministic, unknown,
        )  # fmt: skip
        start, end = jnp.moveaxis(self.head(encoded.last_hidden_state, deterministic), -1, 0)  # (B, S) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span_loss(
                start, end, _to_array("start_positions", start_positions), _to_array("end_positions", end_positions)
            )
        output = QuestionAnsweringModelOutput(loss, start, end, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


def _flatten(x: Any) -> Any:
    """(B, C, S, ...) -> (B * C, S, ...)."""
    if x is None:
        return None
    x = x if hasattr(x, "reshape") else np.asarray(x)
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _to_array(name: str, value: Any) -> Array:
    """Return labels as an array, from a list as well."""
    check_numbers(name, value, "jax")
    return jnp.asarray(value)


def mean_of_tokens(hidden: Array, attention_mask: Any) -> Array:
    """Return the mean of each sequence: (B, S, D) -> (B, D).

    Args:
        hidden: states of all tokens.
        attention_mask: (B, S), 1 for tokens; None: all are tokens.

    Raises:
        InputError: the mask has other dimensions, which do not say what is a token.
    """
    if attention_mask is None:
        return hidden.mean(axis=1)
    mask = jnp.asarray(attention_mask)
    check_mask_of_tokens(mask.ndim)
    kept = (mask != 0)[..., None]
    sums = jnp.where(kept, hidden.astype(jnp.float32), 0.0).sum(axis=1)
    return (sums / jnp.maximum(kept.sum(axis=1), 1)).astype(hidden.dtype)
