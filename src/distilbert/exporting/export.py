"""Exporting a model: traced, written, run in its runtime, compared, and only then moved to where it was asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DistilBertError, ExportError, InputError
from ..core.schema import Head
from ..models.checkpoint import open_checkpoint
from .cases import encode, random_cases, sentence_cases
from .comparison import Comparison, compare, judge
from .destination import Destination
from .formats import Format, find_format
from .source import find_head, hash_model, load_model, load_tokenizer, read_texts, reference


@dataclass(frozen=True)
class Exported:
    """What :func:`export` wrote, and how near it is to the model.

    Attributes:
        folder: where it is.
        files: paths of what was written, in the folder.
        architecture: class of the model.
        n_layers: number of transformer blocks.
        tokenizer: whether a tokenizer was found.
        random: differences over random ids.
        sentences: differences over sentences; None without a tokenizer.
    """

    folder: Path
    files: list[str]
    architecture: str
    n_layers: int
    tokenizer: bool
    random: Comparison
    sentences: Comparison | None


def export(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    to: str = "onnx",
    precision: str = "fp32",
    head: str | None = None,
    calibration: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model for another runtime, with its configuration, tokenizer, model card and licences.

    The files are written beside ``output``, loaded in their runtime and compared with the model; on a failure nothing
    is left. A second export of the same model into the same folder adds its file.

    Args:
        model: a folder, the name of an installed model or of one on the hub; DistilBERT, or BERT as its twin.
        output: a folder; the model's own is allowed for a DistilBERT.
        to: ``"onnx"``, ``"openvino"`` or ``"torch"``.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``; a torch program has no int8.
        head: name of the head, such as ``"ForMaskedLM"``, empty for the encoder alone; None: that of the model.
        calibration: a text file, a text a line or two with a tab between them, from which OpenVINO's int8 learns the
            ranges of activations.
        overwrite: replace an export that is there.

    Raises:
        InputError: an option that cannot be, a head without weights, or something else is in the folder.
        ExportError: the export is not near enough to the model.
        MissingExtraError: a library is not installed.
        DataError: the calibration file cannot be used.
        ModelNotFoundError: there is no such model.
    """
    target = find_format(to)
    target.check(precision)
    if calibration is not None and (to, precision) != ("openvino", "int8"):
        raise InputError(f"Texts for calibration are of use to openvino in int8 alone, not to {to} in {precision}.")
    texts = None if calibration is None else read_texts(Path(calibration))
    checkpoint = open_checkpoint(model)
    wanted = find_head(checkpoint, head)
    tokenizer = load_tokenizer(model)
    if texts is not None and tokenizer is None:
        raise InputError(f"{model} has no tokenizer, which --calibration needs.")
    destination = Destination.of(Path(output), checkpoint, wanted, target.files[precision], overwrite)
    source = load_model(checkpoint, wanted)
    config = source.config
    config.architectures, config.dtype = [wanted.architecture], "float32"
    hashed = hash_model(source)
    destination.check_model(hashed)
    pairs = wanted.name == "ForQuestionAnswering"
    with _beside(destination.folder) as folder:
        feeds = None if texts is None else [encode(tokenizer, [text], config) for text in texts]
        path = folder / target.files[precision][0]
        try:
            _write(target, source, path, precision, feeds)
        except (DistilBertError, OSError):
            raise
        except Exception as error:  # the exporters' own, which have no common base
            raise ExportError(f"The export to {to} failed, and nothing was written to {output}: {error}") from error
        session, model_itself = _open(target, path, wanted), reference(source)
        rank = 3 if wanted.name == "ForMultipleChoice" else 2
        sentences = None
        try:
            random = compare(model_itself, session, random_cases(config, rank), config, wanted.name)
            if tokenizer is not None:
                cases = sentence_cases(tokenizer, config, rank, pairs)
                sentences = compare(model_itself, session, cases, config, wanted.name)
            judge(precision, random, sentences)
        except ExportError as error:
            raise ExportError(f"{error} Nothing was written to {output}.") from None
        del session
        destination.add_companions(folder, hashed, config, tokenizer)
        found = {"random": _summary(random)} | ({} if sentences is None else {"sentences": _summary(sentences)})
        files = destination.move(folder, hashed, precision, found)
    return Exported(
        destination.folder, files, wanted.architecture, config.n_layers, tokenizer is not None, random, sentences
    )


def _write(target: Format, model: Any, path: Path, precision: str, feeds: Any) -> None:
    if target.name == "onnx":
        from .to_onnx import write_onnx

        write_onnx(model, path, precision)
    elif target.name == "openvino":
        from .to_openvino import write_openvino

        write_openvino(model, path, precision, feeds)
    else:
        from .to_torch import write_torch

        write_torch(model, path, precision)


def _open(target: Format, path: Path, head: Head) -> Any:
    if target.runner is None:
        from .to_torch import ProgramSession

        return ProgramSession(path, head.name)
    from .sessions import SESSIONS

    return SESSIONS[target.runner](path)


def _summary(comparison: Comparison) -> dict[str, float]:
    return {
        "batches": comparison.batches,
        "answers": comparison.answers,
        "largest_difference": comparison.difference,
        "largest_change": comparison.change,
        "mean_change": comparison.mean_change,
        "changed_labels": comparison.labels,
    }


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a new folder on the same disk as ``folder``, which is removed in the end."""
    parent = next(each for each in folder.resolve().parents if each.is_dir())
    made = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", suffix=".tmp", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
