"""The Auto classes: one for each head, whatever the folder holds. A framework is imported when a model is loaded."""

from __future__ import annotations

import os
from typing import Any

from ..core.config import DistilBertConfig, find_config
from ..core.errors import ConfigError
from ..core.loading_arguments import HUB_ARGUMENTS
from ..weights.checkpoint import config_from_dict, open_config
from .frameworks import FRAMEWORKS

# What users registered: configurations by their ``model_type``, and models by their Auto class and configuration.
_config_classes: dict[str, type[DistilBertConfig]] = {}
_model_classes: dict[tuple[type[_AutoModel], type], Any] = {}


class AutoConfig:
    """Reads the configuration of a DistilBERT, or that of a BERT as its DistilBERT twin."""

    def __init__(self) -> None:
        raise TypeError("AutoConfig is used through AutoConfig.from_pretrained(folder).")

    @staticmethod
    def from_pretrained(pretrained_model_name_or_path: str | os.PathLike[str], **options: Any) -> Any:
        """Read ``config.json``; options as in ``DistilBertConfig.from_pretrained``.

        A ``model_type`` that was registered gives the class that it was registered with.
        """
        where = "AutoConfig.from_pretrained"
        if _config_classes:
            values = find_config(pretrained_model_name_or_path, options, where)[1]
            registered = _config_classes.get(str(values.get("model_type")))
            if registered is not None:
                return registered.from_pretrained(pretrained_model_name_or_path, **options)
        return open_config(pretrained_model_name_or_path, options, where)

    @staticmethod
    def for_model(model_type: str, **fields: Any) -> DistilBertConfig:
        """Build a configuration: ``AutoConfig.for_model("distilbert", n_layers=3)``."""
        if model_type in _config_classes:
            return _config_classes[model_type](**fields)
        return config_from_dict({"model_type": model_type}, fields, "for_model")

    @staticmethod
    def register(model_type: str, config: type[DistilBertConfig], exist_ok: bool = False) -> None:
        """Let :meth:`from_pretrained` read a configuration of your own.

        Args:
            model_type: as in its ``config.json``, and as the class says.
            config: a class derived from ``DistilBertConfig``.
            exist_ok: replace one that was registered before.

        Raises:
            ConfigError: the name is another, or taken; or it is another class.
        """
        if not (isinstance(config, type) and issubclass(config, DistilBertConfig)):
            raise ConfigError(f"AutoConfig.register takes a class derived from DistilBertConfig, got {config!r:.80}.")
        if config.model_type != model_type:
            raise ConfigError(
                f"{config.__name__}.model_type is {config.model_type!r}, and it was registered as {model_type!r}: both "
                "must be the same."
            )
        if model_type in ("distilbert", "bert") or (model_type in _config_classes and not exist_ok):
            raise ConfigError(f"The model type {model_type!r} has a configuration already; choose another name.")
        _config_classes[model_type] = config


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
        if any(auto is cls for auto, _ in _model_classes):
            config = options.get("config")
            where = pretrained_model_name_or_path if config is None else config
            if where is not None and not isinstance(config, DistilBertConfig):
                place = {name: options[name] for name in (*HUB_ARGUMENTS, "use_auth_token") if name in options}
                config = AutoConfig.from_pretrained(where, **place)
            model_class = _model_classes.get((cls, type(config)), model_class)
        return model_class.from_pretrained(pretrained_model_name_or_path, *model_args, **options)

    @classmethod
    def from_config(cls, config: DistilBertConfig, **options: Any) -> Any:
        """Build a model with fresh weights; options as in the ``from_config`` of its class."""
        model_class = _model_classes.get((cls, type(config))) or FRAMEWORKS[cls.framework].model_class(cls.head)
        return model_class.from_config(config, **options)

    @classmethod
    def register(cls, config_class: type[DistilBertConfig], model_class: Any, exist_ok: bool = False) -> None:
        """Let this class make and load models of your own.

        Args:
            config_class: a class that was registered with :meth:`AutoConfig.register`.
            model_class: a class derived from ``DistilBertPreTrainedModel`` or from one of the PyTorch models, whose
                ``config_class`` is this one.
            exist_ok: replace one that was registered before.

        Raises:
            ConfigError: it is another class, its configuration is another, or there is one already.
        """
        if cls.framework != "pt":
            raise ConfigError(f"{cls.__name__} registers no classes: only those of PyTorch can be derived.")
        base = FRAMEWORKS["pt"].module().DistilBertPreTrainedModel
        if not (isinstance(model_class, type) and issubclass(model_class, base)):
            raise ConfigError(
                f"{cls.__name__}.register takes a subclass of DistilBertPreTrainedModel, got {model_class!r:.70}."
            )
        own = getattr(model_class, "config_class", None)
        if own is not config_class:
            raise ConfigError(
                f"{model_class.__name__}.config_class is {getattr(own, '__name__', own)}, and it was registered "
                f"for {config_class.__name__}: both must be the same."
            )
        if config_class not in _config_classes.values():
            raise ConfigError(
                f"Register the configuration first: AutoConfig.register({config_class.model_type!r}, "
                f"{config_class.__name__})."
            )
        if (cls, config_class) in _model_classes and not exist_ok:
            raise ConfigError(f"{cls.__name__} has a class for {config_class.__name__}; exist_ok=True replaces it.")
        _model_classes[cls, config_class] = model_class


class AutoModel(_AutoModel):
    """Loads the bare encoder."""

    head = ""


class AutoModelForMaskedLM(_AutoModel):
    """Loads a model that predicts masked tokens."""

    head = "ForMaskedLM"


class AutoModelForPreTraining(AutoModelForMaskedLM):
    """Loads a model for the objective of pretraining, which is predicting masked tokens."""


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


class TFAutoModelForPreTraining(AutoModelForPreTraining):
    """Loads a model for the objective of pretraining, which is predicting masked tokens, in Keras."""

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


class FlaxAutoModelForPreTraining(AutoModelForPreTraining):
    """Loads a model for the objective of pretraining, which is predicting masked tokens, in Flax."""

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
