"""Trained models that live in estimators: a folder that a pickle carries along, and how a fine-tuned one is made."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import InputError, ModelNotFoundError
from .estimator_inputs import named_or_default
from .text_vectorizer import tags_for_texts

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


class StoredModel:
    """A temporary folder with the files of a fine-tuned model, which goes when this object goes.

    Attributes:
        folder: where it is.
        names: of its files.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="distilbert-"))
        self.names: tuple[str, ...] = ()
        weakref.finalize(self, _remove, self.folder, os.getpid())

    def keep_model_only(self) -> None:
        """Remove what training wrote beside the model, such as checkpoints."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in FILES:
                path.unlink()
        self.names = tuple(sorted(path.name for path in self.folder.iterdir()))

    def __getstate__(self) -> dict[str, bytes]:
        try:
            return {name: (self.folder / name).read_bytes() for name in self.names}
        except FileNotFoundError as error:
            raise ModelNotFoundError(
                f"{error.filename} is gone, so this estimator cannot be saved: something has removed it from the "
                "folder of temporary files. Call fit again."
            ) from None

    def __setstate__(self, files: dict[str, bytes]) -> None:
        self.__init__()  # type: ignore[misc]
        self.names = tuple(files)
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    def __deepcopy__(self, memo: dict[int, Any]) -> StoredModel:
        return self


def _remove(folder: Path, process: int) -> None:
    """Remove the folder of a model in the process that made it; a forked child ends with a copy of its objects."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


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
        """Fine-tune the model on rows of labelled data.

        Raises:
            InputError: ``finetune_options`` has a setting that the estimator decides.
        """
        from ..finetuning.finetune_config import FinetuneConfig
        from ..finetuning.finetuner import finetune

        stored = StoredModel()
        model = str(named_or_default(self.model))
        settings |= {"task": task, "model": model, "train_data": rows, "output": str(stored.folder)}
        options = {"seed": self.random_state, **(self.finetune_options or {})}
        if decided := [name for name in options if name in settings]:
            raise InputError(
                f"finetune_options must not have {', '.join(decided)}: {type(self).__name__} decides "
                f"{', '.join(settings)} by itself."
            )
        finetune(FinetuneConfig(**settings, **options), overwrite=True, verbose=False)
        stored.keep_model_only()
        return stored

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: value for name, value in state.items() if name != self.pipeline_name}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "head_" if self.method == "fit" else "model_")

    def __sklearn_tags__(self) -> Any:
        return tags_for_texts(super().__sklearn_tags__())  # type: ignore[misc]
