"""What is exported: the model with the right head, its tokenizer, its hash, and texts for calibration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, InputError, ModelNotFoundError, TokenizerError
from ..core.schema import HEADS, Head, head_of
from ..models.auto import AutoTokenizer
from ..models.checkpoint import Checkpoint
from ..weights.match import match

CALIBRATION = 300  # texts of a calibration file that are used


def find_head(checkpoint: Checkpoint, wanted: str | None) -> Head:
    """Return the head to export.

    Args:
        checkpoint: the model.
        wanted: name of a head, empty for the encoder alone; None for the one that the model was made with.

    Raises:
        InputError: the model was made with another head.
    """
    if wanted == "":
        return HEADS[""]
    if checkpoint.bert is not None:
        own = HEADS.get(checkpoint.bert.removeprefix("Bert"))
    else:
        own = head_of(checkpoint.config.architectures)
    if own is None and wanted is None:
        return HEADS["ForMaskedLM" if "vocab_transform.weight" in checkpoint.tensors(None) else ""]
    if own is None or wanted is None:
        return own or HEADS[wanted or ""]
    if wanted != own.name:
        raise InputError(
            f"{checkpoint.folder} is a {own.architecture}, and the task needs a {HEADS[wanted].architecture}. Leave "
            "--task out to export what it is, or take --task feature-extraction for the encoder alone."
        )
    return own


def load_model(checkpoint: Checkpoint, head: Head) -> Any:
    """Load a model in fp32.

    Raises:
        InputError: the folder has no weights for the head.
    """
    from ..models import pytorch

    fresh = match(checkpoint.tensors(head), checkpoint.config, head, where=checkpoint.folder).fresh
    if fresh:
        raise InputError(
            f"{checkpoint.folder} has no weights for {', '.join(fresh)}: train it first, or export another --task."
        )
    return getattr(pytorch, head.architecture).from_pretrained(checkpoint.folder, config=checkpoint.config)


def hash_model(model: Any) -> str:
    """Return a hash of a model's class and weights."""
    from ..models.pytorch.arrays import to_numpy
    from .record import fingerprint

    arrays = {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}
    return fingerprint(model.head_spec.architecture, arrays)


def reference(model: Any) -> Any:
    """Return the model as a function of ids and mask, both NumPy arrays, to compare with."""
    import torch

    from .trace import output_names

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            output = model(
                input_ids=torch.from_numpy(input_ids),
                attention_mask=torch.from_numpy(attention_mask),
                return_dict=True,
            )
        return {name: output[name].numpy() for name in output_names(model.head_spec.name)}

    return run


def load_tokenizer(model: str | os.PathLike[str]) -> Any:
    """Return the tokenizer of a folder or a name, or None if it has none."""
    try:
        return AutoTokenizer.from_pretrained(model)
    except (ModelNotFoundError, TokenizerError):
        return None


def read_texts(path: Path) -> list[Any]:
    """Return the first texts of a file, or pairs of them where a line holds a tab.

    Raises:
        DataError: it is no text, or empty.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:CALIBRATION]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file in UTF-8: {error}") from None
    if not lines:
        raise DataError(f"{path} holds no text; --calibration takes a text a line.")
    return [tuple(line.split("\t", 1)) if "\t" in line else line for line in lines]
