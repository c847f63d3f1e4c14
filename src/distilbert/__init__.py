"""DistilBERT, completely: tokenizers, models with their heads, pipelines and a command line.

Every public name is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

__version__ = "0.1.0"

os.environ.setdefault(
    "MKL_DISABLE_FAST_MM", "1"
)  # before PyTorch is loaded, so that its users can fork; see core/forks.py

_HEADS = (
    "", "ForMaskedLM", "ForMultipleChoice", "ForQuestionAnswering", "ForSequenceClassification",
    "ForTokenClassification",
)  # fmt: skip
_MODULES = {
    "core.config": ["DistilBertConfig", "PretrainedConfig", "PreTrainedConfig"],
    "core.errors": [
        "CheckpointError", "ConfigError", "DataError", "DeviceError", "DistilBertError", "ExportError",
        "ForeignNameError", "GateError", "InputError", "InputTypeError", "MissingExtraError", "ModelNotFoundError",
        "TokenizerError", "TrainingError", "UnknownArgumentError", "UnsupportedArchitectureError", "WeightsError",
        "WeightsMismatchError",
    ],
    "text.added_tokens": ["AddedToken"],
    "text.batch_encoding": ["BatchEncoding"],
    "text.tokenizer": ["DistilBertTokenizer", "PreTrainedTokenizer"],
    "text.fast": ["DistilBertTokenizerFast", "PreTrainedTokenizerFast"],
    "text.tokenizer_base": ["PreTrainedTokenizerBase"],
    "models.auto": [
        "AutoConfig", "AutoTokenizer",
        *[f"{prefix}AutoModel{head}" for prefix in ("", "TF", "Flax") for head in (*_HEADS, "ForPreTraining")],
    ],
    "models.conversion": ["convert"],
    "models.packaging.packager": ["package"],
    "tasks.loading": ["pipeline"],
    "tasks": [
        "FeatureExtractionPipeline", "FillMaskPipeline", "MultipleChoicePipeline", "NerPipeline", "Pipeline",
        "QuestionAnsweringPipeline", "SentenceSimilarityPipeline", "TextClassificationPipeline",
        "TokenClassificationPipeline", "ZeroShotClassificationPipeline",
    ],
    "engine.engine_runner": ["EngineRunner"],
    "embedding.encoder": ["Encoder"],
    "exporting.exporter": ["export"],
    "core.installed": ["installed_models"],
    "embedding.vector_index": ["Index"],
    "cluster.corpus_preparation": ["PreparedCorpus", "prepare"],
    "training.distill_config": ["DistillConfig", "PretrainConfig"],
    "training.evaluation.evaluate_config": ["EvaluateConfig"],
    "training.evaluation.evaluator": ["evaluate"],
    "training.finetuning.finetune_config": ["FinetuneConfig"],
    "training.finetuning.finetuner": ["finetune"],
    "training.fit_config": ["FitConfig"],
    "training.fitting.fitter": ["FitResult", "fit"],
    "training.estimators.text_classifier": ["DistilBertClassifier"],
    "training.estimators.text_vectorizer": ["DistilBertVectorizer"],
    "training.estimators.word_tagger": ["DistilBertTagger"],
    "training.evaluation.quantizer": ["quantize"],
    "training.shrink_config": ["ShrinkConfig"],
    "training.shrinking.shrinker": ["ShrunkModel", "shrink"],
    "training.distillation": ["distill", "pretrain"],
    "training.trackers": ["MlflowCallback", "WandbCallback"],
    "training.training_callback": ["TrainingCallback"],
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
_ROOMS = {
    f"{prefix}DistilBert{head or 'Model'}": framework
    for framework, prefix in (("pt", ""), ("tf", "TF"), ("flax", "Flax"))
    for head in (*_HEADS, "PreTrainedModel")
} | {"TFDistilBertMainLayer": "tf", "PreTrainedModel": "pt", "TFPreTrainedModel": "tf", "FlaxPreTrainedModel": "flax"}

_EARLIER_PATHS = {  # that documentation named before, and where their names are now
    "core.runner": "core.runner_protocol",
    "engine.export": "exporting",
    "engine.export.export": "exporting.exporter",
    "engine.export.runners": "exporting.exported_runner",
    "training.config": "training.distill_config",
    "training.distill": "training.distillation",
    "training.evaluation.config": "training.evaluation.evaluate_config",
    "training.evaluation.evaluate": "training.evaluation.evaluator",
    "training.finetuning.config": "training.finetuning.finetune_config",
    "training.finetuning.run": "training.finetuning.finetuner",
}

__all__ = ["__version__", *_HOMES, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        frameworks = importlib.import_module("distilbert.models.frameworks").FRAMEWORKS
        value = getattr(frameworks[_ROOMS[name]].module(), name)
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"distilbert.{_HOMES[name]}"), name)
    else:
        _raise_unknown(name)
    globals()[name] = value
    return value


def _raise_unknown(name: str) -> NoReturn:
    """Raise the error for a name that is not here.

    ``from distilbert import name`` drops the text of an AttributeError, so names with advice raise an ImportError.
    """
    if not name.startswith("_"):
        from .core.errors import ForeignNameError
        from .core.transformers_names import message_for, unknown_name

        message = message_for(name)
        if message is not None:
            raise ForeignNameError(message)
        raise AttributeError(unknown_name(name, __all__))
    raise AttributeError(f"module 'distilbert' has no attribute {name!r}.")


def __dir__() -> list[str]:
    return sorted(__all__)


class _EarlierPath(ModuleType):
    """A module under a path of before, which takes its names from where they are now."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system and inspection look for
            raise AttributeError(name)
        return getattr(importlib.import_module(f"distilbert.{_EARLIER_PATHS[self.__name__.split('.', 1)[1]]}"), name)


for _path in _EARLIER_PATHS:
    sys.modules[f"distilbert.{_path}"] = _EarlierPath(f"distilbert.{_path}")


if TYPE_CHECKING:
    from .cluster.corpus_preparation import PreparedCorpus as PreparedCorpus
    from .cluster.corpus_preparation import prepare as prepare
    from .core.config import DistilBertConfig as DistilBertConfig
    from .core.config import PreTrainedConfig as PreTrainedConfig
    from .core.config import PretrainedConfig as PretrainedConfig
    from .core.errors import CheckpointError as CheckpointError
    from .core.errors import ConfigError as ConfigError
    from .core.errors import DataError as DataError
    from .core.errors import DeviceError as DeviceError
    from .core.errors import DistilBertError as DistilBertError
    from .core.errors import ExportError as ExportError
    from .core.errors import ForeignNameError as ForeignNameError
    from .core.errors import GateError as GateError
    from .core.errors import InputError as InputError
    from .core.errors import InputTypeError as InputTypeError
    from .core.errors import MissingExtraError as MissingExtraError
    from .core.errors import ModelNotFoundError as ModelNotFoundError
    from .core.errors import TokenizerError as TokenizerError
    from .core.errors import TrainingError as TrainingError
    from .core.errors import UnknownArgumentError as UnknownArgumentError
    from .core.errors import UnsupportedArchitectureError as UnsupportedArchitectureError
    from .core.errors import WeightsError as WeightsError
    from .core.errors import WeightsMismatchError as WeightsMismatchError
    from .core.installed import installed_models as installed_models
    from .embedding.encoder import Encoder as Encoder
    from .embedding.vector_index import Index as Index
    from .engine.engine_runner import EngineRunner as EngineRunner
    from .exporting.exporter import export as export
    from .models.auto import AutoConfig as AutoConfig
    from .models.auto import AutoModel as AutoModel
    from .models.auto import AutoModelForMaskedLM as AutoModelForMaskedLM
    from .models.auto import AutoModelForMultipleChoice as AutoModelForMultipleChoice
    from .models.auto import AutoModelForPreTraining as AutoModelForPreTraining
    from .models.auto import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from .models.auto import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from .models.auto import AutoModelForTokenClassification as AutoModelForTokenClassification
    from .models.auto import AutoTokenizer as AutoTokenizer
    from .models.auto import FlaxAutoModel as FlaxAutoModel
    from .models.auto import FlaxAutoModelForMaskedLM as FlaxAutoModelForMaskedLM
    from .models.auto import FlaxAutoModelForMultipleChoice as FlaxAutoModelForMultipleChoice
    from .models.auto import FlaxAutoModelForPreTraining as FlaxAutoModelForPreTraining
    from .models.auto import FlaxAutoModelForQuestionAnswering as FlaxAutoModelForQuestionAnswering
    from .models.auto import FlaxAutoModelForSequenceClassification as FlaxAutoModelForSequenceClassification
    from .models.auto import FlaxAutoModelForTokenClassification as FlaxAutoModelForTokenClassification
    from .models.auto import TFAutoModel as TFAutoModel
    from .models.auto import TFAutoModelForMaskedLM as TFAutoModelForMaskedLM
    from .models.auto import TFAutoModelForMultipleChoice as TFAutoModelForMultipleChoice
    from .models.auto import TFAutoModelForPreTraining as TFAutoModelForPreTraining
    from .models.auto import TFAutoModelForQuestionAnswering as TFAutoModelForQuestionAnswering
    from .models.auto import TFAutoModelForSequenceClassification as TFAutoModelForSequenceClassification
    from .models.auto import TFAutoModelForTokenClassification as TFAutoModelForTokenClassification
    from .models.conversion import convert as convert
    from .models.flax import FlaxDistilBertForMaskedLM as FlaxDistilBertForMaskedLM
    from .models.flax import FlaxDistilBertForMultipleChoice as FlaxDistilBertForMultipleChoice
    from .models.flax import FlaxDistilBertForQuestionAnswering as FlaxDistilBertForQuestionAnswering
    from .models.flax import FlaxDistilBertForSequenceClassification as FlaxDistilBertForSequenceClassification
    from .models.flax import FlaxDistilBertForTokenClassification as FlaxDistilBertForTokenClassification
    from .models.flax import FlaxDistilBertModel as FlaxDistilBertModel
    from .models.flax import FlaxDistilBertPreTrainedModel as FlaxDistilBertPreTrainedModel
    from .models.flax import FlaxPreTrainedModel as FlaxPreTrainedModel
    from .models.keras import TFDistilBertForMaskedLM as TFDistilBertForMaskedLM
    from .models.keras import TFDistilBertForMultipleChoice as TFDistilBertForMultipleChoice
    from .models.keras import TFDistilBertForQuestionAnswering as TFDistilBertForQuestionAnswering
    from .models.keras import TFDistilBertForSequenceClassification as TFDistilBertForSequenceClassification
    from .models.keras import TFDistilBertForTokenClassification as TFDistilBertForTokenClassification
    from .models.keras import TFDistilBertMainLayer as TFDistilBertMainLayer
    from .models.keras import TFDistilBertModel as TFDistilBertModel
    from .models.keras import TFDistilBertPreTrainedModel as TFDistilBertPreTrainedModel
    from .models.keras import TFPreTrainedModel as TFPreTrainedModel
    from .models.packaging.packager import package as package
    from .models.pytorch import DistilBertForMaskedLM as DistilBertForMaskedLM
    from .models.pytorch import DistilBertForMultipleChoice as DistilBertForMultipleChoice
    from .models.pytorch import DistilBertForQuestionAnswering as DistilBertForQuestionAnswering
    from .models.pytorch import DistilBertForSequenceClassification as DistilBertForSequenceClassification
    from .models.pytorch import DistilBertForTokenClassification as DistilBertForTokenClassification
    from .models.pytorch import DistilBertModel as DistilBertModel
    from .models.pytorch import DistilBertPreTrainedModel as DistilBertPreTrainedModel
    from .models.pytorch import PreTrainedModel as PreTrainedModel
    from .tasks import FeatureExtractionPipeline as FeatureExtractionPipeline
    from .tasks import FillMaskPipeline as FillMaskPipeline
    from .tasks import MultipleChoicePipeline as MultipleChoicePipeline
    from .tasks import NerPipeline as NerPipeline
    from .tasks import Pipeline as Pipeline
    from .tasks import QuestionAnsweringPipeline as QuestionAnsweringPipeline
    from .tasks import SentenceSimilarityPipeline as SentenceSimilarityPipeline
    from .tasks import TextClassificationPipeline as TextClassificationPipeline
    from .tasks import TokenClassificationPipeline as TokenClassificationPipeline
    from .tasks import ZeroShotClassificationPipeline as ZeroShotClassificationPipeline
    from .tasks.loading import pipeline as pipeline
    from .text.added_tokens import AddedToken as AddedToken
    from .text.batch_encoding import BatchEncoding as BatchEncoding
    from .text.fast import DistilBertTokenizerFast as DistilBertTokenizerFast
    from .text.fast import PreTrainedTokenizerFast as PreTrainedTokenizerFast
    from .text.tokenizer import DistilBertTokenizer as DistilBertTokenizer
    from .text.tokenizer import PreTrainedTokenizer as PreTrainedTokenizer
    from .text.tokenizer_base import PreTrainedTokenizerBase as PreTrainedTokenizerBase
    from .training.distill_config import DistillConfig as DistillConfig
    from .training.distill_config import PretrainConfig as PretrainConfig
    from .training.distillation import distill as distill
    from .training.distillation import pretrain as pretrain
    from .training.estimators.text_classifier import DistilBertClassifier as DistilBertClassifier
    from .training.estimators.text_vectorizer import DistilBertVectorizer as DistilBertVectorizer
    from .training.estimators.word_tagger import DistilBertTagger as DistilBertTagger
    from .training.evaluation.evaluate_config import EvaluateConfig as EvaluateConfig
    from .training.evaluation.evaluator import evaluate as evaluate
    from .training.evaluation.quantizer import quantize as quantize
    from .training.finetuning.finetune_config import FinetuneConfig as FinetuneConfig
    from .training.finetuning.finetuner import finetune as finetune
    from .training.fit_config import FitConfig as FitConfig
    from .training.fitting.fitter import FitResult as FitResult
    from .training.fitting.fitter import fit as fit
    from .training.shrink_config import ShrinkConfig as ShrinkConfig
    from .training.shrinking.shrinker import ShrunkModel as ShrunkModel
    from .training.shrinking.shrinker import shrink as shrink
    from .training.trackers import MlflowCallback as MlflowCallback
    from .training.trackers import WandbCallback as WandbCallback
    from .training.training_callback import TrainingCallback as TrainingCallback
