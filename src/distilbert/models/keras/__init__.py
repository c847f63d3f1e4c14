"""DistilBERT in Keras 3, on TensorFlow or any other backend of Keras."""

from .heads import (
    TFDistilBertForMaskedLM,
    TFDistilBertForMultipleChoice,
    TFDistilBertForQuestionAnswering,
    TFDistilBertForSequenceClassification,
    TFDistilBertForTokenClassification,
)
from .modeling import TFDistilBertMainLayer, TFDistilBertModel
from .pretrained import TFDistilBertPreTrainedModel, TFPreTrainedModel
from .tflite import to_tflite

__all__ = [
    "TFDistilBertForMaskedLM",
    "TFDistilBertForMultipleChoice",
    "TFDistilBertForQuestionAnswering",
    "TFDistilBertForSequenceClassification",
    "TFDistilBertForTokenClassification",
    "TFDistilBertMainLayer",
    "TFDistilBertModel",
    "TFDistilBertPreTrainedModel",
    "TFPreTrainedModel",
    "to_tflite",
]
