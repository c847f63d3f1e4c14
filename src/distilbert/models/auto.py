"""The Auto classes: one for each head, whatever the folder holds. A framework is imported when a model is loaded."""

from __future__ import annotations

import os
from typing import Any

from ..core.config import DistilBertConfig
from ..weights.checkpoint import config_from_dict, open_config
from .frameworks import FRAMEWORKS


class AutoConfig:
    """Reads the configuration of a DistilBERT, or that of a BERT as its DistilBERT twin."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is used through AutoConfig.from_pretrained(folder).")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Any:
        """Read ``config.json``; options as in ``DistilBertConfig.from_pretrained``."""
        return open_config(pretrained_model_name_or_path, options, "AutoConfig.from_pretrained")

    @staticmethod
    def for_model(model_type: str, **fields: Any) -> DistilBertConfig:
        """Build a configuration: ``AutoConfig.for_model("distilbert", n_layers=3)``."""
        return config_from_dict({"model_type": model_type}, fields, "for_model")


class AutoTokenizer:
    """Loads a tokenizer: the Rust-backed one, or with ``use_fast=False`` the pure-Python one."""

    def __init__(self) -> None:
        raise TypeError("AutoTokenizer is used through AutoTokenizer.from_pretrained(folder).")

    @staticmethod
    def from_pretrained(
        pretrained_model_name_or_path: str | os.PathLike[str], *, use_fast: bool = True, **options: Any
    ) -> Any:
        """Load the tokenizer of a folder or of a model on the hub; options as in the classes' ``from_pretrained``."""
        if use_fast:
            from ..text.fast import DistilBertTokenizerFast

            return DistilBertTokenizerFast.from_pretrained(pretrained_model_name_or_path, **options)
        from ..text.tokenizer import DistilBertTokenizer

        return DistilBertTokenizer.from_pretrained(pretrained_model_name_or_path, **options)


class _AutoModel:
    """Base of the Auto classes for models."""

    head: str
    framework = "pt"

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is used through {type(self).__name__}.from_pretrained(folder).")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *model_args: Any, **options: Any
    ) -> Any:
        """Load a model; options as in the ``from_pretrained`` of its class."""
        model_class = FRAMEWORKS[cls.framework].model_class(cls.head)
        return model_class.from_pretrained(pretrained_model_name_or_path, *model_args, **options)

    @classmethod
    def from_config(cls, config: DistilBertConfig, **options: Any) -> Any:
        """Build a model with fresh weights; options as in the ``from_config`` of its class."""
        return FRAMEWORKS[cls.framework].model_class(cls.head).from_config(config, **options)


class AutoModel(_AutoModel):
    """Loads the bare encoder."""

    head = ""


class AutoModelForMaskedLM(_AutoModel):
    """Loads a model that predicts masked tokens."""

    head = "ForMaskedLM"


class AutoModelForSequenceClassification(_AutoModel):
    """Loads a model that labels texts."""

    head = "ForSequenceClassification"


class AutoModelForMultipleChoice(_AutoModel):
    """Loads a model that chooses one of several texts."""

    head = "ForMultipleChoice"


class AutoModelForTokenClassification(_AutoModel):
    """Loads a model that labels tokens."""

    head = "ForTokenClassification"


class AutoModelForQuestionAnswering(_AutoModel):
    """Loads a model that finds answers in a text."""

    head = "ForQuestionAnswering"


class TFAutoModel(AutoModel):
    """Loads the bare encoder, in Keras."""

    framework = "tf"


class TFAutoModelForMaskedLM(AutoModelForMaskedLM):
    """Loads a model that predicts masked tokens, in Keras."""

    framework = "tf"


class TFAutoModelForSequenceClassification(AutoModelForSequenceClassification):
    """Loads a model that labels texts, in Keras."""

    framework = "tf"


class TFAutoModelForMultipleChoice(AutoModelForMultipleChoice):
    """Loads a model that chooses one of several texts, in Keras."""

    framework = "tf"


class TFAutoModelForTokenClassification(AutoModelForTokenClassification):
    """Loads a model that labels tokens, in Keras."""

    framework = "tf"


class TFAutoModelForQuestionAnswering(AutoModelForQuestionAnswering):
    """Loads a model that finds answers in a text, in Keras."""

    framework = "tf"


class FlaxAutoModel(AutoModel):
    """Loads the bare encoder, in Flax."""

    framework = "flax"


class FlaxAutoModelForMaskedLM(AutoModelForMaskedLM):
    """Loads a model that predicts masked tokens, in Flax."""

    framework = "flax"


class FlaxAutoModelForSequenceClassification(AutoModelForSequenceClassification):
    """Loads a model that labels texts, in Flax."""

    framework = "flax"


class FlaxAutoModelForMultipleChoice(AutoModelForMultipleChoice):
    """Loads a model that chooses one of several texts, in Flax."""

    framework = "flax"


class FlaxAutoModelForTokenClassification(AutoModelForTokenClassification):
    """Loads a model that labels tokens, in Flax."""

    framework = "flax"


class FlaxAutoModelForQuestionAnswering(AutoModelForQuestionAnswering):
    """Loads a model that finds answers in a text, in Flax."""

    framework = "flax"
