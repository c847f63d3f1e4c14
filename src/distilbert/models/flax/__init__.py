"""DistilBERT in JAX, with Flax's ``nnx`` modules.

A step of training, compiled, with optax::

    model = FlaxDistilBertForSequenceClassification.from_pretrained(folder)
    model.train()
    optimizer = nnx.Optimizer(model, optax.adamw(5e-5), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, batch):
        loss, gradients = nnx.value_and_grad(lambda model: model(**batch).loss)(model)
        optimizer.update(model, gradients)
        return loss

    loss = step(model, optimizer, {"input_ids": ids, "attention_mask": mask, "labels": labels})

Under ``jit`` only shapes can be checked: an id outside the vocabulary gives NaN there, where a plain call raises.
"""

from .heads import (
    FlaxDistilBertForMaskedLM,
    FlaxDistilBertForMultipleChoice,
    FlaxDistilBertForQuestionAnswering,
    FlaxDistilBertForSequenceClassification,
    FlaxDistilBertForTokenClassification,
)
from .modeling import FlaxDistilBertModel
from .pretrained import FlaxDistilBertPreTrainedModel, FlaxPreTrainedModel

__all__ = [
    "FlaxDistilBertForMaskedLM",
    "FlaxDistilBertForMultipleChoice",
    "FlaxDistilBertForQuestionAnswering",
    "FlaxDistilBertForSequenceClassification",
    "FlaxDistilBertForTokenClassification",
    "FlaxDistilBertModel",
    "FlaxDistilBertPreTrainedModel",
    "FlaxPreTrainedModel",
]
