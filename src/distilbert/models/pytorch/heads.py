"""The five heads of DistilBERT in PyTorch.

Legend: B batch, C choices, S sequence, D dim, V vocabulary, L labels. Every ``forward`` has the
arguments of :meth:`DistilBertModel.forward` and labels. ``head`` is what follows the encoder, for any leading shape.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...core.config import DistilBertConfig
from ...core.errors import ConfigError
from ...core.model_checks import check_choices, check_mask_of_tokens, check_tensor
from ...core.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from ...core.schema import HEADS, LAYER_NORM_EPS, tied
from .losses import choice_loss, sequence_classification_loss, span_loss, token_loss
from .modeling import ACTIVATIONS, DistilBertModel
from .pretrained import DistilBertPreTrainedModel


class _ModelWithHead(DistilBertPreTrainedModel):
    """A model with an encoder called ``distilbert`` and a head."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.distilbert = DistilBertModel(config)

    def _encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        position_ids: Tensor | None,
        token_type_ids: Tensor | None,
        unknown: dict[str, Any],
        first_token: bool = False,
    ) -> BaseModelOutput:
        self._check_call(unknown)
        encoded: BaseModelOutput = self.distilbert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            position_ids=position_ids,
            token_type_ids=token_type_ids,
            first_token=first_token,
        )
        return encoded

    def _return(self, output: ModelOutput, return_dict: bool | None) -> Any:
        return output if self._returns_dict(return_dict) else output.to_tuple()


class DistilBertForMaskedLM(_ModelWithHead):
    """Predicts masked tokens: the objective of pretraining."""

    head_spec = HEADS["ForMaskedLM"]
    _tied_weights_keys: ClassVar[dict[str, str]] = tied(DistilBertConfig(), head_spec)

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.activation = ACTIVATIONS[config.activation]
        self.vocab_transform = nn.Linear(config.dim, config.dim)
        self.vocab_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.vocab_projector = nn.Linear(config.dim, config.vocab_size)
        self.post_init()

    def set_output_embeddings(self, projector: nn.Linear) -> None:
        """Replace the projection to the vocabulary."""
        self.vocab_projector = projector

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        return self.vocab_projector(self.vocab_layer_norm(self.activation(self.vocab_transform(hidden))))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **unknown: Any,
    ) -> MaskedLMOutput:
        """Score every word piece at every position; ``labels`` (B, S) are ids, or -100 for tokens without a loss."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, unknown,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state)  # (B, S, V)
        loss = None if labels is None else token_loss(logits, labels)
        output = MaskedLMOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class DistilBertForSequenceClassification(_ModelWithHead):
    """Labels a text, or regresses on it."""

    head_spec = HEADS["ForSequenceClassification"]

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.post_init()

    def head(self, hidden: Tensor) -> Tensor:
        """First tokens, or means of tokens, (..., D) -> (..., L)."""
        return self.classifier(self.dropout(self.pre_classifier(hidden).relu()))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **unknown: Any,
    ) -> SequenceClassifierOutput:
        """Classify each sequence; ``labels`` as :func:`.losses.sequence_classification_loss` takes them."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, unknown,
            first_token=self.config.classifier_pooling == "cls",
        )  # fmt: skip
        hidden = encoded.last_hidden_state  # (B, S, D)
        pooled = hidden[:, 0] if self.config.classifier_pooling == "cls" else mean_of_tokens(hidden, attention_mask)
        logits = self.head(pooled)  # (B, L)
        loss = None if labels is None else sequence_classification_loss(logits, labels, self.config.problem_type)
        output = SequenceClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class DistilBertForMultipleChoice(_ModelWithHead):
    """Chooses one of several texts."""

    head_spec = HEADS["ForMultipleChoice"]

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.pre_classifier = nn.Linear(config.dim, config.dim)
        self.classifier = nn.Linear(config.dim, 1)
        self.dropout = nn.Dropout(config.seq_classif_dropout)
        self.post_init()

    def head(self, hidden: Tensor) -> Tensor:
        """First tokens (..., D) -> (..., 1)."""
        return self.classifier(self.dropout(self.pre_classifier(hidden).relu()))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **unknown: Any,
    ) -> MultipleChoiceModelOutput:
        """Score each choice: inputs (B, C, S), embeddings (B, C, S, D), ``labels`` (B,) index of the right one."""
        for name, value in (("input_ids", input_ids), ("inputs_embeds", inputs_embeds)):
            check_tensor(name, value, isinstance(value, Tensor), "pt")
        choices = check_choices(*(None if x is None else tuple(x.shape) for x in (input_ids, inputs_embeds)))
        input_ids, attention_mask, inputs_embeds = map(_flatten, (input_ids, attention_mask, inputs_embeds))
        if position_ids is not None and position_ids.dim() == 3:
            position_ids = _flatten(position_ids)
        if token_type_ids is not None and token_type_ids.dim() == 3:
            token_type_ids = _flatten(token_type_ids)
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, unknown,
            first_token=True,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state[:, 0]).view(-1, choices)  # (B, C)
        loss = None if labels is None else choice_loss(logits, labels)
        output = MultipleChoiceModelOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class DistilBertForTokenClassification(_ModelWithHead):
    """Labels every token."""

    head_spec = HEADS["ForTokenClassification"]

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dim, config.num_labels)
        self.post_init()

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., L)."""
        return self.classifier(self.dropout(hidden))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **unknown: Any,
    ) -> TokenClassifierOutput:
        """Classify each token; ``labels`` (B, S) are classes, or -100 for tokens without a loss."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, unknown,
        )  # fmt: skip
        logits = self.head(encoded.last_hidden_state)  # (B, S, L)
        loss = None if labels is None else token_loss(logits, labels)
        output = TokenClassifierOutput(loss, logits, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


class DistilBertForQuestionAnswering(_ModelWithHead):
    """Finds the span of a text that answers a question."""

    head_spec = HEADS["ForQuestionAnswering"]

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__(config)
        if config.num_labels != 2:
            raise ConfigError(f"Question answering has 2 labels, start and end; num_labels is {config.num_labels}.")
        self.qa_outputs = nn.Linear(config.dim, config.num_labels)
        self.dropout = nn.Dropout(config.qa_dropout)
        self.post_init()

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., 2), start and end."""
        return self.qa_outputs(self.dropout(hidden))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **unknown: Any,
    ) -> QuestionAnsweringModelOutput:
        """Score each token as start and end; positions (B,) as :func:`.losses.span_loss` takes them."""
        encoded = self._encode(
            input_ids, attention_mask, head_mask, inputs_embeds,
            output_attentions, output_hidden_states, position_ids, token_type_ids, unknown,
        )  # fmt: skip
        start, end = (x.contiguous() for x in self.head(encoded.last_hidden_state).unbind(-1))  # (B, S) each
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = span_loss(start, end, start_positions, end_positions)
        output = QuestionAnsweringModelOutput(loss, start, end, encoded.hidden_states, encoded.attentions)
        return self._return(output, return_dict)


def _flatten(x: Tensor | None) -> Tensor | None:
    """(B, C, S, ...) -> (B * C, S, ...)."""
    return None if x is None else x.flatten(0, 1)


def mean_of_tokens(hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return the mean of each sequence: (B, S, D) -> (B, D).

    Args:
        hidden: states of all tokens.
        attention_mask: (B, S), 1 for tokens; None: all are tokens.

    Raises:
        InputError: the mask has other dimensions, which do not say what is a token.
    """
    if attention_mask is None:
        return hidden.mean(dim=1)
    check_mask_of_tokens(attention_mask.dim())
    kept = attention_mask.bool().unsqueeze(-1)
    sums = torch.where(kept, hidden.float(), 0.0).sum(dim=1)
    return (sums / kept.sum(dim=1).clamp(min=1)).to(hidden.dtype)
