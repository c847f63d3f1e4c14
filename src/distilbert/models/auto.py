"""Auto classes: name a task, and the folder says the rest. Nothing heavy is imported until a model is loaded."""

from __future__ import annotations

import os
from typing import Any

from ..core.config import DistilBertConfig
from .checkpoint import HUB_ARGUMENTS, config_from_dict, open_checkpoint
from .frameworks import FRAMEWORKS


class AutoConfig:
    """Reads the configuration of a DistilBERT, or of a BERT as its DistilBERT twin."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is used through AutoConfig.from_pretrained(folder).")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> DistilBertConfig:
        """Read ``config.json``; options are the hub's and fields to override, as in ``DistilBertConfig``."""
        hub = {name: options.pop(name) for name in HUB_ARGUMENTS if name in options}
        return open_checkpoint(pretrained_model_name_or_path, overrides=options, kind="config", **hub).config

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
        """Load the tokenizer of a folder or of a model on the hub; options as the classes' ``from_pretrained``."""
        if use_fast:
            from ..text.fast import DistilBertTokenizerFast

            return DistilBertTokenizerFast.from_pretrained(pretrained_model_name_or_path, **options)
        from ..text.tokenizer import DistilBertTokenizer

        return DistilBertTokenizer.from_pretrained(pretrained_model_name_or_path, **options)


class _AutoModel:
    """Loads one class; see its ``from_pretrained`` for the options."""

    head: str
    framework = "pt"

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is used through {type(self).__name__}.from_pretrained(folder).")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Any:
        """Load a model; options as the class's own ``from_pretrained`` takes them."""
        return FRAMEWORKS[cls.framework].model_class(cls.head).from_pretrained(pretrained_model_name_or_path, **options)

    @classmethod
    def from_config(cls, config: DistilBertConfig, **options: Any) -> Any:
        """Build a model with fresh weights; options as the class's own ``from_config`` takes them."""
        return FRAMEWORKS[cls.framework].model_class(cls.head).from_config(config, **options)


class AutoModel(_AutoModel):
    """The bare encoder."""

    head = ""


class AutoModelForMaskedLM(_AutoModel):
    """For predicting masked tokens."""

    head = "ForMaskedLM"


class AutoModelForSequenceClassification(_AutoModel):
    """For labelling texts."""

    head = "ForSequenceClassification"


class AutoModelForMultipleChoice(_AutoModel):
    """For choosing one of several texts."""

    head = "ForMultipleChoice"


class AutoModelForTokenClassification(_AutoModel):
    """For labelling tokens."""

    head = "ForTokenClassification"


class AutoModelForQuestionAnswering(_AutoModel):
    """For finding answers."""

    head = "ForQuestionAnswering"


class TFAutoModel(AutoModel):
    """The same in Keras."""

    framework = "tf"


class TFAutoModelForMaskedLM(AutoModelForMaskedLM):
    """The same in Keras."""

    framework = "tf"


class TFAutoModelForSequenceClassification(AutoModelForSequenceClassification):
    """The same in Keras."""

    framework = "tf"


class TFAutoModelForMultipleChoice(AutoModelForMultipleChoice):
    """The same in Keras."""

    framework = "tf"


class TFAutoModelForTokenClassification(AutoModelForTokenClassification):
    """The same in Keras."""

    framework = "tf"


class TFAutoModelForQuestionAnswering(AutoModelForQuestionAnswering):
    """The same in Keras."""

    framework = "tf"


class FlaxAutoModel(AutoModel):
    """The same in Flax."""

    framework = "flax"


class FlaxAutoModelForMaskedLM(AutoModelForMaskedLM):
    """The same in Flax."""

    framework = "flax"


class FlaxAutoModelForSequenceClassification(AutoModelForSequenceClassification):
    """The same in Flax."""

    framework = "flax"


class FlaxAutoModelForMultipleChoice(AutoModelForMultipleChoice):
    """The same in Flax."""

    framework = "flax"


class FlaxAutoModelForTokenClassification(AutoModelForTokenClassification):
    """The same in Flax."""

    framework = "flax"


class FlaxAutoModelForQuestionAnswering(AutoModelForQuestionAnswering):
    """The same in Flax."""

    framework = "flax"
