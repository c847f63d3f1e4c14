"""Exports a model: writes the file, runs it in its runtime, compares it with the model, and moves it into place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, DistilBertError, ExportError, InputError, ModelNotFoundError, TokenizerError
from ..core.files import writing
from ..core.schema import HEADS, Head, head_of
from ..models.auto import AutoTokenizer
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.match import match
from .destination import Destination
from .export_record import hash_weights
from .formats import Format, find_format, input_rank, output_names
from .verification import (
    ExportDifference,
    ModelFunction,
    check_difference,
    measure_difference,
    random_batches,
    sentence_batches,
    tokenize,
)

CALIBRATION_TEXTS = 300  # texts of a calibration file that are used


@dataclass(frozen=True)
class ExportResult:
    """What :func:`export` wrote, and how much it differs from the model.

    Attributes:
        folder: where it is.
        files: paths in the folder of the files that were written.
        architecture: class of the model.
        n_layers: number of transformer blocks.
        has_tokenizer: whether the model has a tokenizer.
        on_random_ids: difference on random ids.
        on_sentences: difference on sentences; None without a tokenizer.
    """

    folder: Path
    files: list[str]
    architecture: str
    n_layers: int
    has_tokenizer: bool
    on_random_ids: ExportDifference
    on_sentences: ExportDifference | None


def export(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    to: str = "onnx",
    precision: str = "fp32",
    head: str | None = None,
    calibration: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Write a model for another runtime, with its configuration, tokenizer, model card and licences.

    The files are written beside ``output``, loaded in their runtime and compared with the model. On a failure nothing
    is left. A second export of the same model into the same folder adds its file.

    Args:
        model: a folder, or the name of an installed model or of one on the hub. A BERT is exported as its DistilBERT
            twin.
        output: a folder. The model's own is allowed for a DistilBERT.
        to: ``"onnx"``, ``"openvino"`` or ``"torch"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``; there is no int8 for torch.
        head: name of the head, such as ``"ForMaskedLM"``; empty for the encoder alone; None for the model's own.
        calibration: a text file with a text on each line, or two with a tab between them, from which OpenVINO's int8
            takes the ranges of activations.
        overwrite: whether existing exports may be replaced.

    Raises:
        InputError: an option cannot be used, the head has no weights, or something else is in the folder.
        ExportError: the export differs from the model by more than its precision allows.
        MissingExtraError: a library is not installed.
        DataError: the calibration file cannot be used.
        ModelNotFoundError: there is no such model.
    """
    target = find_format(to)
    target.check(precision)
    if calibration is not None and (to, precision) != ("openvino", "int8"):
        raise InputError(f"Texts for calibration are of use to openvino in int8 alone, not to {to} in {precision}.")
    texts = None if calibration is None else read_calibration_texts(Path(calibration))
    checkpoint = open_checkpoint(model)
    model_head = find_head(checkpoint, head)
    tokenizer = load_tokenizer(model)
    if texts is not None and tokenizer is None:
        raise InputError(f"{model} has no tokenizer, which --calibration needs.")
    destination = Destination.check(Path(output), checkpoint, model_head, target.files[precision], overwrite)
    source = load_model(checkpoint, model_head)
    config = source.config
    config.architectures, config.dtype = [model_head.architecture], "float32"
    model_hash = hash_model(source)
    destination.check_weights(model_hash)
    with _staging_folder(destination.folder) as staging, writing(destination.folder):
        inputs = None if texts is None else [tokenize(tokenizer, [text], config) for text in texts]
        path = staging / target.files[precision][0]
        try:
            with writing(destination.folder):
                write_file(target, source, path, precision, inputs)
        except (DistilBertError, OSError):
            raise
        except Exception as error:  # the exporters' errors have no common base
            raise ExportError(f"The export to {to} failed, and nothing was written to {output}: {error}") from error
        try:
            on_random_ids, on_sentences = _verify(source, open_file(target, path, model_head), tokenizer, precision)
        except ExportError as error:
            raise ExportError(f"{error} Nothing was written to {output}.") from None
        destination.add_companions(staging, model_hash, config, tokenizer)
        differences = {"random": on_random_ids.to_dict()}
        if on_sentences is not None:
            differences["sentences"] = on_sentences.to_dict()
        files = destination.move(staging, model_hash, precision, differences)
    return ExportResult(
        folder=destination.folder,
        files=files,
        architecture=model_head.architecture,
        n_layers=config.n_layers,
        has_tokenizer=tokenizer is not None,
        on_random_ids=on_random_ids,
        on_sentences=on_sentences,
    )


def find_head(checkpoint: Checkpoint, requested: str | None) -> Head:
    """Return the head to export.

    Args:
        checkpoint: the model.
        requested: name of a head, empty for the encoder alone; None for the model's own.

    Raises:
        InputError: the model has another head.
    """
    if requested == "":
        return HEADS[""]
    if checkpoint.bert is not None:
        own = HEADS.get(checkpoint.bert.removeprefix("Bert"))
    else:
        own = head_of(checkpoint.config.architectures)
    if own is None and requested is None:
        return HEADS["ForMaskedLM" if "vocab_transform.weight" in checkpoint.tensors(None) else ""]
    if own is None or requested is None:
        return own or HEADS[requested or ""]
    if requested != own.name:
        raise InputError(
            f"{checkpoint.folder} is a {own.architecture}, and the task needs a {HEADS[requested].architecture}. Leave "
            "--task out to export what it is, or take --task feature-extraction for the encoder alone."
        )
    return own


def load_model(checkpoint: Checkpoint, head: Head) -> Any:
    """Load a PyTorch model in fp32.

    Raises:
        InputError: the checkpoint has no weights for the head.
    """
    from ..models import pytorch

    fresh = match(checkpoint.tensors(head), checkpoint.config, head, where=checkpoint.folder).fresh
    if fresh:
        raise InputError(
            f"{checkpoint.folder} has no weights for {', '.join(fresh)}: train it first, or export another --task."
        )
    return getattr(pytorch, head.architecture).from_pretrained(checkpoint.folder, config=checkpoint.config)


def hash_model(model: Any) -> str:
    """Return a hash of a PyTorch model's class and weights."""
    from ..models.pytorch.arrays import to_numpy

    arrays = {name: to_numpy(tensor) for name, tensor in model.state_dict().items()}
    return hash_weights(model.head_spec.architecture, arrays)


def load_tokenizer(model: str | os.PathLike[str]) -> Any:
    """Return the tokenizer of a folder or a name; None if it has none."""
    try:
        return AutoTokenizer.from_pretrained(model)
    except (ModelNotFoundError, TokenizerError):
        return None


def read_calibration_texts(path: Path) -> list[Any]:
    """Return the first texts of a file, and a pair of texts for a line with a tab.

    Raises:
        DataError: the file is not text, or empty.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:CALIBRATION_TEXTS]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file in UTF-8: {error}") from None
    if not lines:
        raise DataError(f"{path} holds no text; --calibration takes a file with a text on each line.")
    return [tuple(line.split("\t", 1)) if "\t" in line else line for line in lines]


def write_file(target: Format, model: Any, path: Path, precision: str, calibration: Any) -> None:
    """Write a model in a format; ``calibration`` are ids and masks of texts, or None."""
    from . import writers

    if target.name == "onnx":
        writers.write_onnx(model, path, precision)
    elif target.name == "openvino":
        writers.write_openvino(model, path, precision, calibration)
    else:
        writers.write_torch(model, path, precision)


def open_file(target: Format, path: Path, head: Head) -> ModelFunction:
    """Open a file that :func:`write_file` has just written, in its runtime."""
    if target.runner is None:
        from .writers import open_program

        return open_program(path, head.name)
    from .runtime_sessions import SESSIONS

    return SESSIONS[target.runner](path)


def model_function(model: Any) -> ModelFunction:
    """Return a PyTorch model as a function of NumPy arrays, to compare an export with."""
    import torch

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            output = model(
                input_ids=torch.from_numpy(input_ids),
                attention_mask=torch.from_numpy(attention_mask),
                return_dict=True,
            )
        return {name: output[name].numpy() for name in output_names(model.head_spec.name)}

    return run


def _verify(
    model: Any, session: ModelFunction, tokenizer: Any, precision: str
) -> tuple[ExportDifference, ExportDifference | None]:
    """Return the differences on random ids, and on sentences if there is a tokenizer.

    Raises:
        ExportError: they are larger than the precision allows.
    """
    config, head, reference = model.config, model.head_spec.name, model_function(model)
    rank = input_rank(head)
    on_random_ids = measure_difference(reference, session, random_batches(config, rank), config, head)
    on_sentences = None
    if tokenizer is not None:
        batches = sentence_batches(tokenizer, config, rank, pairs=head == "ForQuestionAnswering")
        on_sentences = measure_difference(reference, session, batches, config, head)
    check_difference(precision, on_random_ids, on_sentences)
    return on_random_ids, on_sentences


@contextmanager
def _staging_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder on the same disk as ``folder``, and remove it in the end."""
    parent = next(each for each in folder.resolve().parents if each.is_dir())
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", suffix=".tmp", dir=parent))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
