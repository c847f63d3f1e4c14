"""``distilbert export``: writes a model for ONNX Runtime, OpenVINO, the browser, or PyTorch without this package."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.counted import counted
from .failures import OK

if TYPE_CHECKING:
    from ..exporting.exporter import ExportResult
    from ..exporting.verification import ExportDifference

EXAMPLE = "distilbert export models/minilm --to onnx --output exported/minilm"


class ExportFormat(StrEnum):
    """Values of ``--to``."""

    onnx = "onnx"
    openvino = "openvino"
    torch = "torch"


class ExportPrecision(StrEnum):
    """Values of ``--precision``."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="DistilBERT or BERT: a folder, or a name.", show_default=False),
    ],
    to: Annotated[
        ExportFormat,
        typer.Option(help="onnx also runs in transformers.js; torch is a torch.export program.", show_default=False),
    ],
    output: Annotated[str, typer.Option(help="Folder to write, or to add to.", show_default=False)],
    precision: Annotated[
        ExportPrecision, typer.Option(help="Of the weights; torch has no int8.")
    ] = ExportPrecision.fp32,
    task: Annotated[
        str | None,
        typer.Option(
            help="What to export it for: feature-extraction leaves the head out. Default: what the model was made for.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Texts, one a line, for openvino in int8: activations become int8 too. Default: weights only.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export that exists.")] = False,
) -> int:
    """Export a model: one folder with configuration, tokenizer and a file for another runtime.

    What was written is loaded in that runtime and compared with the model, on random ids and on sentences, before it
    is moved to OUTPUT. Another precision can be added to the same folder.
    """
    from ..exporting.exporter import export
    from ..tasks.registry import task_spec

    exported = export(
        model,
        output,
        to=to.value,
        precision=precision.value,
        head=None if task is None else task_spec(task).head,
        calibration=calibration,
        overwrite=overwrite,
    )
    _report(exported, to.value, precision.value)
    return OK


def _report(exported: ExportResult, to: str, precision: str) -> None:
    """Print what was written, and how much it differs from the model."""
    from .text_output import size_text

    print(
        f"{exported.architecture} of {counted(exported.n_layers, 'layer')} as {to} in {precision}, written to "
        f"{exported.folder}:"
    )
    for name in exported.files:
        print(f"  {name}  {size_text((exported.folder / name).stat().st_size)}")
    if not exported.has_tokenizer:
        print("no tokenizer was found beside the model, so none was written, and no sentence was tried")
    print("checked against the model:")
    for name, difference in (("random ids", exported.on_random_ids), ("sentences", exported.on_sentences)):
        if difference is not None:
            print(f"  {name}: {_differences(difference, exported.architecture, precision)}")


def _differences(difference: ExportDifference, architecture: str, precision: str) -> str:
    text = f"{counted(difference.batches, 'batch', 'batches')}, largest difference {difference.largest_difference:.2g}"
    if precision == "fp32":
        return text
    changes = f"{difference.largest_change:.2g} at most, {difference.mean_change:.2g} on average"
    if architecture == "DistilBertModel":
        return f"{text}; vectors turn by (1 - cosine) {changes}"
    return (
        f"{text}; probabilities change by {changes}; {difference.changed_labels} of {difference.answers} labels change"
    )
