"""``convert``: from a model folder to another, with fewer layers, no head, another type or another file format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

from ..core.companions import copy_companions, license_files, remove_companions, sentence_files, tokenizer_files
from ..core.errors import InputError, ModelNotFoundError, TokenizerError
from ..core.files import check_output_folder, filling_folder
from ..core.hub import encoder_folder
from ..core.schema import HEADS, Head, head_of
from ..text.tokenizer import DistilBertTokenizer
from ..weights.checkpoint import open_checkpoint
from ..weights.folder import FORMATS as WEIGHT_FILES
from ..weights.folder import H5, SAFETENSORS, has_weights, remove_weights, save_as, supersede_earlier_weights
from ..weights.match import keep_layers, match

FORMATS = {"safetensors": SAFETENSORS} | {name: name for name in WEIGHT_FILES if name != SAFETENSORS}
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True)
class ConvertedModel:
    """What :func:`convert` wrote.

    Attributes:
        folder: the new model folder.
        files: names of its files.
        architecture: name of the class that loads it.
        n_layers: number of transformer blocks.
        parameters: number of weights.
        dropped: names of the tensors of heads that were left out.
        tokenizer: whether the source has a tokenizer, which is written too.
    """

    folder: Path
    files: list[str]
    architecture: str
    n_layers: int
    parameters: int
    dropped: list[str]
    tokenizer: bool


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    layers: Sequence[int] | None = None,
    head: str | None = None,
    dtype: str | None = None,
    to: str = "safetensors",
    overwrite: bool = False,
) -> ConvertedModel:
    """Write a DistilBERT or BERT model as a DistilBERT folder.

    The tokenizer and the modules of sentence-transformers come along, and licences where the folder has none. Of a
    model that is overwritten, its card and licences stay, which somebody may have written.

    Args:
        source: a folder, or a name on the hub.
        output: new folder. The source itself takes the same model in a format that it does not have, with
            ``overwrite``; its other files stay as they are.
        layers: blocks to keep, in this order; None for all.
        head: ``"none"`` for the encoder alone; None keeps the head that the source has.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None keeps that of the source. ``tf_model.h5`` has no
            bfloat16 and takes float32 instead.
        to: ``"safetensors"``, ``"pytorch_model.bin"``, ``"tf_model.h5"`` or ``"flax_model.msgpack"``.
        overwrite: write into a folder that holds a model already.

    Raises:
        InputError: an option has another value, or ``output`` holds a model already.
        UnsupportedArchitectureError: a head of BERT that DistilBERT does not have.
        MissingExtraError: the library for the file format is not installed.
        WeightsMismatchError: the tensors of the source are not those of its configuration.
    """
    if to not in FORMATS:
        raise InputError(f"to must be one of {', '.join(FORMATS)}, got {to!r}.")
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    if to == H5 and dtype == "bfloat16":
        raise InputError(f"{H5} cannot hold bfloat16; choose float32 or float16, or another format.")
    if head not in (None, "auto", "none"):
        raise InputError(f"head must be 'none' or 'auto', got {head!r}.")
    earlier_folder = encoder_folder(Path(output))
    holds_model = (earlier_folder / "config.json").exists()
    if holds_model and not overwrite:
        raise InputError(f"{output} already holds a model; choose another folder, or overwrite it.")
    checkpoint = open_checkpoint(source)
    in_place = earlier_folder.resolve() == checkpoint.folder.resolve()
    if in_place and (
        checkpoint.bert is not None
        or not (layers is None and head is None and dtype is None)
        or has_weights(checkpoint.folder, FORMATS[to])
    ):
        raise InputError(
            f"{output} is the folder that is converted, and it would be overwritten; name another one. "
            "All that can be added to it is the same model in a format that it does not have."
        )
    config = checkpoint.config
    kept_head = HEADS[""] if head == "none" else _source_head(checkpoint.bert, config.architectures)
    tensors = checkpoint.tensors(kept_head)
    if kept_head is None:
        kept_head = HEADS["ForMaskedLM" if "vocab_transform.weight" in tensors else ""]
    if layers is not None:
        tensors = keep_layers(tensors, layers)
        heads = {new: config.pruned_heads[old] for new, old in enumerate(layers) if old in config.pruned_heads}
        config.n_layers, config.pruned_heads = len(layers), heads
    matched = match(tensors, config, kept_head, where=source)
    if matched.fresh:
        raise InputError(f"{source} has no weights for {', '.join(matched.fresh)}; head='none' converts the encoder.")
    arrays = {}
    for name, tensor in matched.tensors.items():
        array = tensor.read()
        if dtype is not None:
            array = array.astype(DTYPES[dtype], copy=False)
        elif to == H5 and array.dtype == DTYPES["bfloat16"]:
            array = array.astype(np.float32)
        arrays[name] = array
    config.architectures = [kept_head.architecture]
    config.dtype = next(iter(arrays.values())).dtype.name
    folder = check_output_folder(earlier_folder if in_place else output)
    modules, licenses = sentence_files(checkpoint.folder), license_files(checkpoint.folder)
    licenses = {name: path for name, path in licenses.items() if not (folder / name).exists()}
    earlier = tokenizer_files(folder) | sentence_files(folder) if holds_model else {}
    with filling_folder(folder):
        written = save_as(folder, arrays, FORMATS[to], kept_head)
        if in_place:
            has_tokenizer = _tokenizer(folder) is not None
        else:
            for name in WEIGHT_FILES:  # those of a model that is overwritten
                if name != FORMATS[to]:
                    remove_weights(folder, name)
            supersede_earlier_weights(folder)
            config.save_pretrained(folder)
            tokenizer = _tokenizer(checkpoint.folder)
            has_tokenizer = tokenizer is not None
            written.append(folder / "config.json")
            if tokenizer is not None:
                written += map(Path, tokenizer.save_pretrained(folder))
            copy_companions(modules | licenses, folder)
            written += [folder / name for name in modules | licenses]
            remove_companions(folder, earlier.keys() - {path.relative_to(folder).as_posix() for path in written})
    return ConvertedModel(
        folder=folder,
        files=sorted(path.relative_to(folder).as_posix() for path in written),
        architecture=kept_head.architecture,
        n_layers=config.n_layers,
        parameters=sum(array.size for array in arrays.values()),
        dropped=matched.dropped,
        tokenizer=has_tokenizer,
    )


def _source_head(bert: str | None, architectures: list[str] | None) -> Head | None:
    """Return the head that the source names. One that only BERT has raises its error when the tensors are read."""
    if bert is not None and bert.removeprefix("Bert") in HEADS:
        return HEADS[bert.removeprefix("Bert")]
    return head_of(architectures)


def _tokenizer(folder: Path) -> DistilBertTokenizer | None:
    try:
        return DistilBertTokenizer.from_pretrained(folder)
    except (ModelNotFoundError, TokenizerError):
        return None
