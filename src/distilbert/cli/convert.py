"""``distilbert convert``: makes a model folder from another one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..core.counted import counted
from ..core.errors import UsageError
from ..core.terminal_text import printable
from .failures import OK

EXAMPLE = "distilbert convert models/minilm models/minilm-half --layers 0,2,4"


class WeightsFormat(StrEnum):
    """Values of ``--to``."""

    safetensors = "safetensors"
    pytorch = "pytorch_model.bin"
    tensorflow = "tf_model.h5"
    flax = "flax_model.msgpack"


class HeadOption(StrEnum):
    """Values of ``--head``."""

    auto = "auto"
    none = "none"


class WeightsDtype(StrEnum):
    """Values of ``--dtype``."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def command(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="DistilBERT or BERT: a folder, or a name on the hub.", show_default=False),
    ],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Folder to write.", show_default=False)],
    layers: Annotated[
        str | None, typer.Option(help="Blocks to keep, in this order: 0,2,4. Default: all.", show_default=False)
    ] = None,
    head: Annotated[
        HeadOption, typer.Option(help="auto keeps the head that the model has, none leaves it out.")
    ] = HeadOption.auto,
    dtype: Annotated[
        WeightsDtype | None, typer.Option(help="Type of the weights. Default: that of the model.", show_default=False)
    ] = None,
    to: Annotated[WeightsFormat, typer.Option(help="Format of the weights.")] = WeightsFormat.safetensors,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over a model that exists.")] = False,
) -> int:
    """Convert a model: BERT to DistilBERT, fewer layers, no head, another type or file format."""
    layer_numbers = _layer_numbers(layers)
    from pathlib import Path

    from ..models.conversion import convert

    if (Path(output) / "config.json").exists() and not overwrite:
        raise UsageError(f"{output} holds a model already; name another folder, or write over it with --overwrite.")
    converted = convert(
        model,
        output,
        layers=layer_numbers,
        head=head.value,
        dtype=dtype.value if dtype else None,
        to=to.value,
        overwrite=overwrite,
    )
    layers_written = counted(converted.n_layers, "layer")
    summary = f"{converted.architecture} of {layers_written} and {converted.parameters:,} parameters"
    print(f"{summary}, written to {converted.folder}:")
    for name in converted.files:
        print(f"  {name}")
    if converted.dropped:
        print(printable(f"left behind: {', '.join(converted.dropped)}"))
    if not converted.tokenizer:
        print("no tokenizer was found beside the model, so none was written")
    return OK


def _layer_numbers(option: str | None) -> list[int] | None:
    if option is None:
        return None
    numbers = [number.strip() for number in option.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise UsageError(f"--layers {option!r}: numbers of blocks, counted from 0, separated by commas, are expected.")
    return [int(number) for number in numbers]
