"""Trained models that live in estimators: a folder that a pickle carries along, and how a fine-tuned one is made."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .estimator_inputs import named_or_default
from .text_vectorizer import tags_for_texts

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class StoredModel:
    """A temporary folder with the files of a fine-tuned model, which goes when this object goes.

    Attributes:
        folder: where it is.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="distilbert-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def __getstate__(self) -> dict[str, bytes]:
        paths = [self.folder / name for name in FILES]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def __setstate__(self, files: dict[str, bytes]) -> None:
        self.__init__()  # type: ignore[misc]
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredModel:
        return self


class ModelOrHead:
    """What the classifier and the tagger share: a head on frozen vectors, or a whole model that was fine-tuned.

    A subclass loads the fine-tuned model in a cached property, whose name is ``pipeline_name``.
    """

    pipeline_name = ""
    method: str
    model: Any
    random_state: int
    finetune_options: Mapping[str, Any] | None

    def _forget_pipeline(self) -> None:
        self.__dict__.pop(self.pipeline_name, None)

    def _finetune(self, task: str, rows: Any, **settings: Any) -> StoredModel:
        """Fine-tune the model on rows of labelled data."""
        from ..finetuning.finetune_config import FinetuneConfig
        from ..finetuning.finetuner import finetune

        stored = StoredModel()
        options = {"seed": self.random_state, **(self.finetune_options or {})}
        model = str(named_or_default(self.model))
        config = FinetuneConfig(
            task=task, model=model, train_data=rows, output=str(stored.folder), **settings, **options
        )
        finetune(config, overwrite=True, verbose=False)
        return stored

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: value for name, value in state.items() if name != self.pipeline_name}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_" if self.method == "fit" else "model_")

    def __sklearn_tags__(self) -> Any:
        return tags_for_texts(super().__sklearn_tags__())  # type: ignore[misc]
