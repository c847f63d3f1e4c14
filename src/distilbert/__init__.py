"""DistilBERT, completely: tokenizers, models with their heads, pipelines and a command line.

Every public name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {
    "core.config": ["DistilBertConfig"],
    "core.errors": [
        "ConfigError", "DataError", "DeviceError", "DistilBertError", "InputError", "MissingExtraError",
        "ModelNotFoundError", "TokenizerError", "UnknownArgumentError", "UnsupportedArchitectureError", "WeightsError",
        "WeightsMismatchError",
    ],
    "text.added_tokens": ["AddedToken"],
    "text.batch_encoding": ["BatchEncoding"],
    "text.tokenizer": ["DistilBertTokenizer"],
    "text.fast": ["DistilBertTokenizerFast"],
    "models.auto": [
        "AutoConfig", "AutoModel", "AutoModelForMaskedLM", "AutoModelForMultipleChoice",
        "AutoModelForQuestionAnswering", "AutoModelForSequenceClassification", "AutoModelForTokenClassification",
        "AutoTokenizer",
    ],
    "models.convert": ["convert"],
    "models.pytorch": [
        "DistilBertForMaskedLM", "DistilBertForMultipleChoice", "DistilBertForQuestionAnswering",
        "DistilBertForSequenceClassification", "DistilBertForTokenClassification", "DistilBertModel",
        "DistilBertPreTrainedModel",
    ],
    "tasks.pipeline": ["pipeline"],
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'distilbert' has no attribute {name!r}")
    module = _HOMES[name]
    if module == "models.pytorch":
        importlib.import_module("distilbert.core.extras").require("torch", "torch")
    value = getattr(importlib.import_module(f"distilbert.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from .core.config import DistilBertConfig as DistilBertConfig
    from .core.errors import ConfigError as ConfigError
    from .core.errors import DataError as DataError
    from .core.errors import DeviceError as DeviceError
    from .core.errors import DistilBertError as DistilBertError
    from .core.errors import InputError as InputError
    from .core.errors import MissingExtraError as MissingExtraError
    from .core.errors import ModelNotFoundError as ModelNotFoundError
    from .core.errors import TokenizerError as TokenizerError
    from .core.errors import UnknownArgumentError as UnknownArgumentError
    from .core.errors import UnsupportedArchitectureError as UnsupportedArchitectureError
    from .core.errors import WeightsError as WeightsError
    from .core.errors import WeightsMismatchError as WeightsMismatchError
    from .models.auto import AutoConfig as AutoConfig
    from .models.auto import AutoModel as AutoModel
    from .models.auto import AutoModelForMaskedLM as AutoModelForMaskedLM
    from .models.auto import AutoModelForMultipleChoice as AutoModelForMultipleChoice
    from .models.auto import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from .models.auto import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from .models.auto import AutoModelForTokenClassification as AutoModelForTokenClassification
    from .models.auto import AutoTokenizer as AutoTokenizer
    from .models.convert import convert as convert
    from .models.pytorch import DistilBertForMaskedLM as DistilBertForMaskedLM
    from .models.pytorch import DistilBertForMultipleChoice as DistilBertForMultipleChoice
    from .models.pytorch import DistilBertForQuestionAnswering as DistilBertForQuestionAnswering
    from .models.pytorch import DistilBertForSequenceClassification as DistilBertForSequenceClassification
    from .models.pytorch import DistilBertForTokenClassification as DistilBertForTokenClassification
    from .models.pytorch import DistilBertModel as DistilBertModel
    from .models.pytorch import DistilBertPreTrainedModel as DistilBertPreTrainedModel
    from .tasks.pipeline import pipeline as pipeline
    from .text.added_tokens import AddedToken as AddedToken
    from .text.batch_encoding import BatchEncoding as BatchEncoding
    from .text.fast import DistilBertTokenizerFast as DistilBertTokenizerFast
    from .text.tokenizer import DistilBertTokenizer as DistilBertTokenizer
