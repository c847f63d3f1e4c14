"""Auto classes: name a task, and the folder says the rest. Nothing heavy is imported until a model is loaded."""

from __future__ import annotations

import os
from typing import Any

from ..core.config import DistilBertConfig
from ..core.errors import reject_unknown
from ..core.extras import require
from .checkpoint import HUB_ARGUMENTS, config_from_dict, open_checkpoint


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
    """Loads one PyTorch class; see its ``from_pretrained`` for the options."""

    model_class: str

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} is used through {type(self).__name__}.from_pretrained(folder).")

    @classmethod
    def _class(cls) -> Any:
        require("torch", "torch")
        from . import pytorch

        return getattr(pytorch, cls.model_class)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Any:
        """Load a model; options as :meth:`DistilBertPreTrainedModel.from_pretrained` takes them."""
        return cls._class().from_pretrained(pretrained_model_name_or_path, **options)

    @classmethod
    def from_config(cls, config: DistilBertConfig, **options: Any) -> Any:
        """Build a model with fresh weights; ``dtype``, ``torch_dtype`` and ``attn_implementation`` are the options."""
        reject_unknown(options, ("dtype", "torch_dtype", "attn_implementation"), f"{cls.__name__}.from_config")
        return cls._class().from_config(config, **options)


class AutoModel(_AutoModel):
    """The bare encoder."""

    model_class = "DistilBertModel"


class AutoModelForMaskedLM(_AutoModel):
    """For predicting masked tokens."""

    model_class = "DistilBertForMaskedLM"


class AutoModelForSequenceClassification(_AutoModel):
    """For labelling texts."""

    model_class = "DistilBertForSequenceClassification"


class AutoModelForMultipleChoice(_AutoModel):
    """For choosing one of several texts."""

    model_class = "DistilBertForMultipleChoice"


class AutoModelForTokenClassification(_AutoModel):
    """For labelling tokens."""

    model_class = "DistilBertForTokenClassification"


class AutoModelForQuestionAnswering(_AutoModel):
    """For finding answers."""

    model_class = "DistilBertForQuestionAnswering"
