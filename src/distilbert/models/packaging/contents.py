"""The files of a model folder that go into a package, checked, with the weights in the type that was asked for."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from ...core.companions import CARD, card_file, companions_of, copy_companions, license_files, places_of
from ...core.errors import InputError, TokenizerError, WeightsError, WeightsMismatchError
from ...core.files import write_json
from ...core.installed import CONFIG
from ...core.json_files import read_config_file
from ...core.schema import HEADS, Head, head_of
from ...text.tokenizer_files import load_spec
from ...weights.checkpoint import Checkpoint, open_checkpoint
from ...weights.folder import QUANTIZATION, SAFETENSORS, open_tensors
from ...weights.match import match
from ...weights.tensors import save_safetensors

DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float32": np.dtype(np.float32), "keep": None}


@dataclass(frozen=True)
class Contents:
    """A folder with exactly the files that a package holds.

    Attributes:
        folder: that folder.
        card: text of the model card, or None.
        licenses: names of the licence and notice files.
        summary: what the model is, in one line.
    """

    folder: Path
    card: str | None
    licenses: tuple[str, ...]
    summary: str


def collect(source: Path, target: Path, dtype: str) -> Contents:
    """Copy the files of a model that belong in a package.

    These are ``config.json``, ``model.safetensors``, the files of the tokenizer and of sentence-transformers, the
    result of ``distilbert quantize``, the model card, licences and notices. Other files, such as checkpoints, are left
    out.

    Args:
        source: a model folder, with weights in any format.
        target: an empty folder to copy into; it is created if it is missing.
        dtype: of the weights, a key of ``DTYPES``; ``"keep"`` leaves them as they are.

    Raises:
        InputError: ``source`` is not a folder, or a file in it is a link to somewhere else.
        ModelNotFoundError: there is no configuration or there are no weights.
        UnsupportedArchitectureError: it is neither a DistilBERT nor a BERT with a twin.
        WeightsMismatchError: the weights are not those of the configuration.
        WeightsError: a weight is not a finite number.
        TokenizerError: there is no tokenizer, or it has entries that the model does not know.
    """
    if not source.is_dir():
        raise InputError(f"{source} is no folder: a package is made of a model folder.")
    checkpoint = open_checkpoint(source)
    head = _check_weights(checkpoint)
    folder = checkpoint.folder
    _check_tokenizer(folder, checkpoint.config.vocab_size)
    target.mkdir(exist_ok=True)
    card, files, places = card_file(folder), companions_of(folder), places_of(folder)
    for path in [path for place in places for path in place.iterdir()] + list(files.values()):
        _check_is_inside(path, places[0])
    copy_companions(card | files, target)
    if (folder / QUANTIZATION).is_file():
        shutil.copyfile(folder / QUANTIZATION, target / QUANTIZATION)
    _write_weights(folder, target, DTYPES[dtype])
    _write_config(folder, target, None if dtype == "keep" else dtype)
    return Contents(
        target,
        card[CARD].read_text(encoding="utf-8", errors="replace") if card else None,
        tuple(sorted(license_files(folder))),
        f"{checkpoint.bert or head.architecture} of {checkpoint.config.n_layers} layers, loaded by its name",
    )


def _check_is_inside(path: Path, source: Path) -> None:
    """Refuse a link out of the folder: what it points to would be published.

    The hub's cache consists of links: from the files of a snapshot to the ``blobs`` of the same model.
    """
    blobs = [source.resolve().parent.parent / "blobs"] if source.resolve().parent.name == "snapshots" else []
    if path.is_symlink() and not any(path.resolve().is_relative_to(folder) for folder in (source.resolve(), *blobs)):
        raise InputError(
            f"{path} is a link to {path.resolve()}, outside the model's folder. Replace it by the file, if that is to "
            "be in the package, or remove it."
        )


def _check_weights(checkpoint: Checkpoint) -> Head:
    """Check that the folder has all weights of its model, and return the head of that model."""
    bert = checkpoint.bert
    head = head_of(checkpoint.config.architectures) if bert is None else HEADS.get(bert.removeprefix("Bert"))
    tensors = checkpoint.tensors(head)
    if head is None:
        head = HEADS["ForMaskedLM" if "vocab_transform.weight" in tensors else ""]
    fresh = match(tensors, checkpoint.config, head, where=checkpoint.folder).fresh
    if fresh:
        raise WeightsMismatchError(
            f"{checkpoint.folder} is a {head.architecture} without weights for {', '.join(fresh)}: train it first."
        )
    return head


def _check_tokenizer(source: Path, vocab_size: int) -> None:
    spec = load_spec(source)
    largest = max((*spec.vocab.values(), *spec.added_tokens))
    if largest >= vocab_size:
        raise TokenizerError(
            f"The tokenizer of {source} has an entry of id {largest}, the model only {vocab_size} entries: "
            "they do not belong together."
        )


def _write_weights(source: Path, target: Path, dtype: np.dtype | None) -> None:
    arrays = {}
    for name, tensor in open_tensors(source).items():
        array = tensor.read()
        if np.issubdtype(array.dtype, np.floating) or array.dtype == DTYPES["bfloat16"]:
            array = array if dtype is None else array.astype(dtype, copy=False)
            if not np.isfinite(array).all():
                raise WeightsError(f"{name} of {source} has numbers that are not finite in {array.dtype}.")
        arrays[name] = array
    save_safetensors(target / SAFETENSORS, arrays)


def _write_config(source: Path, target: Path, dtype: str | None) -> None:
    """Copy the configuration; ``dtype`` replaces the type in it, under whichever name the file has for it."""
    values = read_config_file(source / CONFIG)
    if dtype is None:
        shutil.copyfile(source / CONFIG, target / CONFIG)
        return
    for key in [key for key in ("dtype", "torch_dtype") if key in values] or ["dtype"]:
        values[key] = dtype
    write_json(target / CONFIG, values)
